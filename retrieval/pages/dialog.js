// The dialog that lies on the page: a picture in large, why it matches, or the copies folded into it.
(() => {
  const { words, fill, isShortcut } = window.lookalikeCommon;
  let tell = null; // asks for one

  const dialog = () => document.querySelector(".lk-why");
  let opener = null; // to which the focus goes back when it is closed
  let busy = null; // the button whose dialog is on its way
  let asked = null; // what was asked for last, and of which picture; null once it was closed
  const rest = () => {
    busy?.removeAttribute("aria-busy");
    busy = null;
  };
  const open = (what, { key, id }, button) => {
    tell(what, { key, id });
    if (!button.closest(".lk-why")) opener = button;
    asked = { what, key, id };
    busy = button;
    button.setAttribute("aria-busy", "true");
  };
  const close = () => {
    asked = null;
    rest();
    if (!dialog()) return false;
    dialog().remove();
    opener?.focus();
    return true;
  };
  // On a phone the back button closes what lies on top: the dialog has a step of its own.
  let leaving = false;
  const leave = () => {
    if (!close() || !history.state?.why) return;
    leaving = true;
    history.back();
  };
  const isClosedByStep = () => {
    const closed = leaving || close();
    leaving = false;
    return closed;
  };

  // --- From one picture to the next, as they lie on the page; behind the last comes the first ----
  const tiles = () => [...document.querySelectorAll("#results .lk-tile")];
  const pick = (tile) => tile.querySelector(".lk-pick");
  // Of what was asked for last: where that is refused, the next step goes past it.
  const place = () => {
    const all = tiles().map((tile) => pick(tile).dataset);
    const placeOf = (one) => all.findIndex(({ key, id }) => key === one?.key && id === one.id);
    const at = placeOf(asked);
    return at < 0 ? placeOf(dialog().dataset) : at;
  };
  const step = (by) => {
    const button = document.querySelector(`.lk-why [data-step="${by}"]`);
    const all = tiles();
    if (!button || busy || !all.length) return;
    const at = place();
    const next = all.at(at < 0 ? Math.min(by, 0) : (at + by) % all.length);
    opener = next.querySelector("[data-do=look], [data-do=why]");
    open("look", pick(next).dataset, button);
  };
  // Where among them the one that is shown lies; returns what is read aloud of it.
  const showPlace = () => {
    const at = place();
    const shown = dialog().querySelector(".lk-place");
    if (at < 0 || !shown) return "";
    shown.textContent = fill(words().lookPlace ?? "", { n: at + 1, total: tiles().length });
    return `${dialog().ariaLabel}, ${shown.textContent}`;
  };
  // A finger pushes it aside, unless it is at one that has been enlarged.
  let swipe = null; // where one began
  document.addEventListener(
    "touchstart",
    ({ target, touches: [{ clientX: x, clientY: y }, second] }) => {
      const isOne = target.closest?.(".lk-stage") && !second && visualViewport.scale < 1.05;
      swipe = isOne ? { x, y } : null;
    },
    { passive: true },
  );
  document.addEventListener("touchend", ({ changedTouches: [{ clientX: x, clientY: y }] }) => {
    if (!swipe) return;
    const aside = x - swipe.x;
    if (Math.abs(aside) > Math.max(50, 2 * Math.abs(y - swipe.y))) step(aside < 0 ? 1 : -1);
    swipe = null;
  });
  // What cannot be had any more, or be drawn by this browser, is shown in small.
  document.addEventListener(
    "error",
    ({ target }) => {
      const { small } = target.matches?.(".lk-stage img") ? target.dataset : {};
      if (small && target.getAttribute("src") !== small) target.src = small;
    },
    true,
  );

  // --- Keys and presses ----------------------------------------------------------------------------
  document.addEventListener("click", ({ target }) => {
    const around = target.closest?.(".lk-why");
    if (!around) return;
    // What else lies on its tile becomes another button with the answer.
    const isPick = target.closest("[data-do=pick]");
    if (isPick) opener = opener?.closest(".lk-tile")?.querySelector(".lk-pick") ?? opener;
    if (target === around || isPick || target.closest("[data-close]")) leave();
    const by = target.closest("[data-step]")?.dataset.step;
    if (by) step(Number(by));
  });

  // While it is open, Tab goes round in it.
  const keepInside = (event) => {
    const inside = [...document.querySelectorAll(".lk-why :is(button, a[href])")];
    if (!inside.length) return;
    // Always by us: Safari passes over links and buttons.
    event.preventDefault();
    const at = inside.indexOf(document.activeElement);
    const next = event.shiftKey ? Math.max(at, 0) - 1 : (at + 1) % inside.length;
    inside.at(next).focus({ focusVisible: true });
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.code === "Tab") keepInside(event); // WebKit on Linux calls it by no key with Shift
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && !isShortcut(event)) step(by);
  });

  // An answer may come after it was closed, or after that to what was asked for later, of which it
  // has taken the place.
  const isAsked = ({ what, key, id }) => what === asked?.what && key === asked.key && id === asked.id;
  const dropLate = () => {
    dialog().remove();
    if (asked && !busy) tell(asked.what, { key: asked.key, id: asked.id });
  };

  let shownAt = ""; // of the one that was last looked at
  const look = () => {
    const at = dialog()?.dataset.at ?? shownAt;
    if (at !== shownAt) {
      shownAt = at;
      if (!isAsked(dialog().dataset)) return dropLate();
      const isStep = busy?.dataset.step;
      rest();
      const said = showPlace();
      if (isStep && said) window.lookalikeSay(said);
    }
    if (!dialog()) return;
    if (!dialog().contains(document.activeElement)) dialog().querySelector("[data-close]").focus();
    if (!history.state?.why) {
      history.pushState({ ...history.state, why: true }, "", location.href);
    }
  };

  window.lookalikeDialog = {
    begin: (ask) => (tell = ask),
    opens: (what) => ["look", "why", "copies"].includes(what),
    open,
    leave,
    rest,
    isClosedByStep,
    look,
  };
})();

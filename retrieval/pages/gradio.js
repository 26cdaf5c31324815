// What Gradio leaves out: messages that stand for their time, the keys of its choices, names of its
// buttons, and a column that ends with the window.
(() => {
  const { touch, behavior, words, isShortcut } = window.lookalikeCommon;

  // --- Messages ----------------------------------------------------------------------------------
  // Gradio puts a number before the reason why it was refused. What a gateway sends in the place of a
  // reason is a page, and not for people.
  const sayPlainly = () => {
    for (const toast of document.querySelectorAll("[data-testid=toast-text]")) {
      const [, said] = /^HTTP \d+: ?(.*)/s.exec(toast.textContent) ?? [];
      if (said !== undefined) toast.textContent = said && !toast.firstElementChild ? said : words().wrong;
    }
  };

  // Gradio makes a button of what holds the one that closes, and has a line that is read aloud, late
  // and without our words ("common.complete"): what is done here, the page tells itself.
  const spareReaders = () => {
    const wrong = ".toast-header[role=button], .sr-only[role=status]";
    for (const one of document.querySelectorAll(wrong)) {
      for (const name of ["role", "tabindex", "aria-live"]) one.removeAttribute(name);
    }
  };

  // Gradio would close all of a kind together when the first has been there for its time, and the
  // last one with it. Ours have no time of their own: each goes after the time that it takes to be
  // read, and sooner where it is said once more, or what was done since has been answered.
  const TOAST_TIME = 10_000; // milliseconds
  const PER_WORD = 350; // the same, of a long one
  const LEAST_TIME = 4_000; // the same, that each stands whatever comes
  const TOAST = "[data-testid=toast-body]";
  const TEXT = "[data-testid=toast-text]";
  const textsIn = (toast) => [...toast.querySelectorAll(`:not([hidden]) > ${TEXT}`)];
  // Whoever is at it is still reading; where a finger was last says nothing.
  const isRead = (text) => {
    const toast = text.closest(TOAST);
    return (!touch.matches && toast?.matches(":hover")) || toast?.contains(document.activeElement);
  };
  const drop = (text) => {
    const toast = text.isConnected && text.closest(TOAST);
    if (!toast) return;
    if (!textsIn(toast).some((other) => other !== text)) {
      toast.querySelector("[data-testid=toast-close]")?.click();
    } else if (text !== toast) text.parentElement.hidden = true;
  };
  const dropLater = (text, time) => {
    setTimeout(() => (isRead(text) ? dropLater(text, 2_000) : drop(text)), time);
  };
  const came = new WeakMap(); // when each text did
  const closeLater = () => {
    let isNew = false;
    for (const toast of document.querySelectorAll(TOAST)) {
      const texts = textsIn(toast);
      for (const text of texts.length ? texts : [toast]) {
        if (came.has(text)) continue; // those that are folded up by hand go together
        const said = text.textContent;
        const earlier = texts.filter((one) => came.has(one) && one.textContent === said);
        earlier.forEach((one) => (one.parentElement.hidden = true));
        came.set(text, Date.now());
        dropLater(text, Math.max(TOAST_TIME, PER_WORD * said.split(/\s+/).length));
        isNew = true;
      }
    }
    return isNew;
  };

  // Another tab, or an answer to what was done after a message came, takes it away.
  let done = 0; // when something last was
  const note = () => (done = Date.now());
  for (const own of ["pointerdown", "keydown", "paste", "drop"]) {
    document.addEventListener(own, note, { capture: true, passive: true });
  }
  window.addEventListener("popstate", note);
  const supersede = (least = LEAST_TIME) => {
    for (const text of document.querySelectorAll(TEXT)) {
      const at = came.get(text);
      if (at < done && at + least < Date.now() && !isRead(text)) drop(text);
    }
  };

  // --- Keys --------------------------------------------------------------------------------------
  // Gradio's choices of one among several are no group to the browser, which else does this.
  const RADIOS = ":is(#count, #preset) input[type=radio]";
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by || isShortcut(event) || !event.target.matches?.(RADIOS)) return;
    event.preventDefault();
    const radios = [...event.target.closest("fieldset").querySelectorAll("input[type=radio]")];
    const next = radios.at((radios.indexOf(event.target) + by) % radios.length);
    next.focus();
    next.click();
  });

  const CHOICE = "input[role=combobox]";
  const listen = (name, listener) => document.addEventListener(name, listener, true); // before Gradio

  // Where Enter has chosen, Gradio takes the focus off the field, and the browser begins at the top of
  // the page again. So Gradio is told that the field was left, which has the focus still, and that
  // somebody came back as soon as something is done there.
  const resting = new WeakSet(); // the fields that Gradio takes for left
  let entered = null; // the field in which Enter was the last that was pressed
  const rest = (field) => {
    if (field !== entered || touch.matches) return HTMLElement.prototype.blur.call(field);
    field.dispatchEvent(new FocusEvent("blur"));
    resting.add(field);
    setTimeout(() => field.select());
  };
  const wake = (field) => {
    if (resting.delete(field)) field.dispatchEvent(new FocusEvent("focus"));
  };
  listen("blur", (event) => {
    if (resting.delete(event.target)) event.stopPropagation(); // told before
  });
  listen("beforeinput", ({ target }) => wake(target));
  listen("mousedown", ({ target }) => {
    entered = null;
    wake(target);
  });

  // Gradio opens a list of choices at every key but Escape, a moment later: also at those by which its
  // field is left, and then nothing closes it again.
  const LEAVING = ["Tab", "Shift", "Control", "Alt", "Meta"];
  listen("keydown", (event) => {
    const { key, target } = event;
    if (!target.matches?.(CHOICE)) return;
    entered = key === "Enter" ? target : null;
    target.blur = () => rest(target);
    const isOthers = isShortcut(event) && !["ArrowUp", "ArrowDown"].includes(key);
    if (LEAVING.includes(key) || (isOthers && resting.has(target))) event.stopPropagation();
    else if (key !== "Escape") wake(target);
  });

  // What is typed into a choice is sought among the others; it would be put behind the name that is
  // there, and nothing be found.
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches(CHOICE)) setTimeout(() => target.select());
  });

  // --- Names -------------------------------------------------------------------------------------
  // Gradio's button shows an arrow, and has no name.
  const nameSend = () => {
    const unnamed = document.querySelector("#address .submit-button:not([aria-label])");
    const name = unnamed && words().send;
    if (name) unnamed.setAttribute("aria-label", name);
  };

  // Nor does it say of its drawers whether they are open, but for an arrow that would be read.
  const nameDrawers = () => {
    for (const drawer of document.querySelectorAll("#tabs button.label-wrap")) {
      drawer.setAttribute("aria-expanded", drawer.matches(".open"));
      drawer.querySelector(".icon")?.setAttribute("aria-hidden", "true");
    }
  };
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.(".label-wrap")) setTimeout(nameDrawers);
  });

  // Nor does it tie a choice of one among several to what it is called.
  const nameRadios = () => {
    for (const choice of document.querySelectorAll("fieldset:is(#count, #preset):not([aria-labelledby])")) {
      const name = choice.querySelector("[data-testid=block-info]");
      if (!name) continue;
      name.id = `${choice.id}-name`;
      choice.setAttribute("aria-labelledby", name.id);
    }
  };

  // A finger drops nothing.
  const nameDrop = () => {
    const text = touch.matches && document.querySelector("#query [data-testid=upload-text] p");
    const said = words().drop;
    if (text && said && text.textContent !== said) text.textContent = said;
  };

  // Nor does every camera stand on the web, or everybody click.
  const nameCamera = () => {
    const icon = document.querySelector("#query button > .wrap:not([data-testid]) > .icon-wrap");
    const text = icon?.nextSibling;
    const said = words().camera;
    if (text && said && text.data !== said) text.data = said;
  };

  // --- What is wrong with a field ----------------------------------------------------------------
  // It is told right below, and until somebody types there; Gradio ties the two in no way.
  const refusals = new WeakMap(); // by their places: number and text of the last, and whether it is mended
  const fieldOf = (place) =>
    [...(place.previousElementSibling?.querySelectorAll("input, textarea") ?? [])].at(-1);
  // A phone is to show its keys for numbers there, which Gradio's fields of text cannot say.
  const markNumber = () => {
    const place = document.getElementById("megapixels-refusal");
    if (place) fieldOf(place)?.setAttribute("inputmode", "decimal");
  };
  const showRefusals = () => {
    for (const place of document.querySelectorAll("[id$=-refusal]")) {
      const said = place.querySelector(".lk-wrong");
      const turn = said?.dataset.turn;
      const before = refusals.get(place) ?? {};
      const isNew = said && turn !== before.turn;
      const isWrong = isNew || Boolean(said && !before.isMended);
      refusals.set(place, { turn, text: said?.textContent, isMended: !isWrong });
      place.toggleAttribute("data-wrong", isWrong);
      const field = fieldOf(place);
      if (!field) continue;
      if (isWrong) {
        field.setAttribute("aria-invalid", "true");
        field.setAttribute("aria-describedby", place.id);
      } else if (field.getAttribute("aria-describedby") === place.id) {
        field.removeAttribute("aria-invalid");
        field.removeAttribute("aria-describedby");
      }
      if (!isNew) continue;
      // Who has left the field may be elsewhere on the page, and has been told where Enter was pressed
      // before.
      const isIn = field === document.activeElement;
      const isKnown = said.textContent === before.text && !before.isMended;
      if (isIn || !isKnown) window.lookalikeSay?.(said.textContent);
      if (isIn) place.scrollIntoView({ block: "nearest", behavior: behavior() });
    }
  };
  document.addEventListener("input", ({ target }) => {
    const place = document.getElementById(target.getAttribute?.("aria-describedby"));
    if (!refusals.has(place)) return;
    refusals.get(place).isMended = true;
    showRefusals();
  });

  // --- The column on the left --------------------------------------------------------------------
  // It ends with the window, also as long as the heading is above it.
  let above = -1;
  const fitColumns = () => {
    const tabs = document.querySelector("#tabs > :has([role=tab])");
    if (!tabs) return;
    const room = Math.max(0, Math.round(tabs.getBoundingClientRect().bottom + 4));
    if (room !== above) document.documentElement.style.setProperty("--lk-above", `${room}px`);
    above = room;
  };
  document.addEventListener("scroll", fitColumns, { passive: true });
  window.addEventListener("resize", fitColumns);

  // What a drawer holds would open out of sight.
  document.addEventListener("click", ({ target }) => {
    const drawer = target.closest?.("#ask .label-wrap")?.parentElement;
    if (!drawer) return;
    setTimeout(() => {
      const isOpen = drawer.querySelector(".label-wrap.open");
      if (isOpen) drawer.scrollIntoView({ block: "nearest", behavior: behavior() });
    }, 100);
  });

  // --- Pictures ----------------------------------------------------------------------------------
  // What gets another picture would go on showing the one before until that has come.
  const hideUntilLoaded = ({ target }) => {
    if (!target.matches?.(":is(.lk-tile, .lk-stage) img") || target.complete) return;
    const shown = () => target.classList.remove("lk-loading");
    target.classList.add("lk-loading");
    for (const end of ["load", "error"]) target.addEventListener(end, shown, { once: true });
  };

  // Of a query that this browser cannot draw, such as HEIC, a picture comes with the answer.
  document.addEventListener(
    "error",
    ({ target }) => {
      if (!target.matches?.("#query .image-frame img")) return;
      target.classList.add("lk-loading");
      target.addEventListener("load", () => target.classList.remove("lk-loading"), { once: true });
    },
    true,
  );

  // --- The password ------------------------------------------------------------------------------
  // Gradio's answers bring no cookie. Returns why it was refused; "" where it was right.
  const enter = async (password) => {
    const about = { method: "POST", headers: { "X-Lookalike": "1" }, body: password };
    try {
      const answer = await fetch("password", about);
      return answer.ok ? "" : (await answer.json()).error;
    } catch {
      return words().wrong; // a gateway's page, or nothing
    }
  };

  const look = () => {
    nameSend();
    nameDrop();
    nameCamera();
    nameDrawers();
    nameRadios();
    markNumber();
    showRefusals();
    fitColumns();
    sayPlainly();
    spareReaders();
    return closeLater(); // whether something has been said
  };
  window.lookalikeGradio = { look, hideUntilLoaded, supersede, enter };
})();

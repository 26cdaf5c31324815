// The cards of the tab "My pictures": their buttons reach the handlers, and what an answer brings comes
// into view.
(() => {
  const { behavior, fill } = window.lookalikeCommon;
  const { begin, pick, zone, isShown, bringIntoView, sayNoMoreSent, sayNoMoreRefused } =
    window.lookalikeUploads;

  // These may take seconds. The button says that it was heard until an answer names its number, which
  // those of other buttons do not.
  const SLOW = new Set(["look", "apply", "remove", "unremove", "readmit", "undo", "delete", "mend"]);
  // Some of them minutes, in which the other buttons are to be heard: they go their own way.
  const LONG = new Set(["look", "readmit", "mend"]);
  let presses = 0;
  const busy = { select: new Set(), work: new Set() }; // what ends the marks, by the event that asks
  // Of a part that lies open what it begins with, unless the focus goes into it and says so itself.
  const textOf = (elements) => [...elements].map(({ textContent }) => textContent).join(" ");
  const textOfOpened = (part) =>
    part.querySelector("[data-focus]") ? "" : textOf(part.querySelectorAll("p, summary"));
  const showBusy = (element, { act, key, number }, undo = () => {}) => {
    const ended = () => element.querySelector("[data-ended]")?.dataset.ended.split(" ") ?? [];
    const end = () => {
      until = 0;
      mark();
      undo();
    };
    const ends = busy[LONG.has(act) ? "work" : "select"].add(end);
    const mark = () => {
      const isBusy = !ended().includes(String(number)) && performance.now() < until;
      const all = [...element.querySelectorAll(`button[data-act="${act}"]`)];
      const button = all.find(({ dataset }) => dataset.key === key);
      // Gradio takes the mark off with every look at what else is being built.
      if (button && button.classList.contains("lk-busy") !== isBusy) {
        button.classList.toggle("lk-busy", isBusy);
        button.setAttribute("aria-busy", isBusy);
      }
      if (isBusy) return;
      watch.disconnect();
      ends.delete(end);
      // What a folder is like may lie open from before.
      if (button?.matches("[data-act=look][aria-expanded=true]")) {
        const found = button.closest("li").querySelectorAll(".lk-open :is(p, summary)");
        window.lookalikeSay(textOf(found));
      }
    };
    const watch = new MutationObserver(mark);
    const patience = LONG.has(act) ? 3_600_000 : 60_000;
    let until = performance.now() + patience;
    // A refused one changes nothing but the numbers of those that have ended.
    watch.observe(element, {
      childList: true, subtree: true, characterData: true, attributeFilter: ["data-ended", "class"],
    });
    mark();
    setTimeout(mark, patience + 1);
  };
  // What the server does not take, or nobody foresaw, has no answer that could name it; what the page
  // has changed for it is undone.
  window.lookalikeFailed = (event) => busy[event].forEach((end) => end());

  const OPENING = new Set(["look", "pictures", "problems", "rename", "download", "delete"]);
  let openedBy = {}; // what button has opened a part of a card, and of which
  let pressedLast = null; // what button, and of which card, until something else is done
  for (const own of ["focusin", "pointerdown"]) {
    document.addEventListener(own, () => (pressedLast = null), true);
  }

  // What lies open may be longer than the window: its button stays in view, which has the focus.
  const showOpened = (part) => {
    const card = part.closest("[data-key]");
    const first = card.contains(document.activeElement) ? document.activeElement : part;
    const above = first.getBoundingClientRect().top - 14;
    const below = part.getBoundingClientRect().bottom + 14 - innerHeight;
    if (above < 0 || below <= 0) return bringIntoView(first);
    window.scrollBy({ top: Math.min(above, below), behavior: behavior() });
  };
  // How building stands, without its buttons. Of what is being read each tenth is news, and not each
  // picture; what has gone wrong is an alert, which is read by itself.
  const stateOf = (card) => {
    const line = card.querySelector(".lk-state:not([role=alert])");
    const texts = [...(line?.childNodes ?? [])].filter(({ nodeType }) => nodeType === Node.TEXT_NODE);
    const text = textOf(texts).trim();
    const share = line?.querySelector(".lk-progress")?.getAttribute("aria-valuenow");
    const news = share ? `${text.split(/\d/)[0]}${Math.floor(share / 10)}` : text;
    return { text, news, name: card.querySelector("h3").textContent };
  };
  // A new collection lies below the others, what is said of a deleted one at its top, and what
  // a button opens below it: perhaps out of sight, on a phone nearly always. What was not there before
  // comes into view.
  const showNews = (element) => {
    let known = null; // the cards, and then what is said above them
    const look = () => {
      if (!element.querySelector(".lk-title")) return; // not filled yet
      const room = element.querySelector("[data-room]")?.dataset.room;
      const bounds = zone()?.parentElement.querySelector("[data-bounds]");
      if (room && bounds && bounds.textContent !== room) bounds.textContent = room;
      const rows = [...element.querySelectorAll("li[data-key]")]; // also of the bin
      const cards = rows.filter((row) => row.matches(".lk-collection"));
      const notice = element.querySelector(".lk-say");
      const open = element.querySelector(".lk-open");
      const now = {
        keys: new Set(rows.map(({ dataset }) => dataset.key)),
        said: notice?.textContent,
        open: open && `${open.closest("[data-key]").dataset.key} ${open.dataset.view}`,
        place: open?.querySelector(".lk-pages .lk-hint")?.textContent, // of more pictures than fit
        states: new Map(cards.map((card) => [card.dataset.key, stateOf(card)])),
      };
      const before = known;
      known = now;
      if (!before || !isShown()) return;
      const fresh = cards.find(({ dataset }) => !before.keys.has(dataset.key));
      const opened = now.open && now.open !== before.open ? open : null;
      const told = now.said === before.said ? null : notice;
      if (fresh) sayNoMoreRefused();
      if (fresh || !opened || told) bringIntoView(fresh ?? told);
      else showOpened(opened);
      const heard = [];
      if (told) heard.push(told.firstElementChild.textContent);
      else if (opened) heard.push(textOfOpened(opened));
      else if (now.open && now.place !== before.place) heard.push(now.place);
      for (const [key, { text, news, name }] of now.states) {
        const isFresh = key === fresh?.dataset.key;
        const earlier = before.states.get(key)?.news;
        if (text && (isFresh || (earlier !== undefined && earlier !== news))) {
          heard.push(`${name}: ${text}`);
        } else if (isFresh) heard.push(textOf(fresh.querySelectorAll("h3, .lk-meta")));
      }
      if (heard.some(Boolean)) window.lookalikeSay(heard.join(" "));
      // Gradio makes the next card of one that is gone, and would leave the focus on its "Delete".
      const gone = [...before.keys].some((key) => !now.keys.has(key));
      const held = document.activeElement;
      const moved = held?.matches("button") && element.contains(held);
      const back = fresh?.querySelector("[data-act]"); // of one that leaves the bin
      const title = element.querySelector(".lk-title");
      if (gone && moved) (notice ?? back ?? title).focus({ preventScroll: true });
      // What was pressed may be gone: the focus goes to what is said of it, to the button that had
      // opened it, or to the first one of its card.
      if (held !== document.body || !pressedLast) return;
      const { act, key } = ["close", "name"].includes(pressedLast.act) ? openedBy : pressedLast;
      pressedLast = null;
      const card = rows.find(({ dataset }) => dataset.key === key) ?? fresh;
      const next =
        told ||
        card?.querySelector(`[data-act="${act}"]:enabled`) ||
        card?.querySelector("[data-act]") ||
        element.querySelector("[data-act]");
      next?.focus({ preventScroll: true });
    };
    new MutationObserver(look).observe(element, { childList: true, subtree: true, characterData: true });
    look();
  };

  // Called by each of our two pieces of markup when it appears.
  window.lookalikeLibrary = (element, trigger, work) => {
    if (element.closest("#library-drop")) {
      begin(element, trigger);
    } else {
      // What was sent shows among the cards now.
      new MutationObserver(sayNoMoreSent).observe(element, { childList: true, subtree: true });
      const lookAgain = () => trigger("select", { act: "again" });
      window.lookalikeOrder(() => element, lookAgain);
      // What another window has made meanwhile shows as soon as this one is turned to.
      let turning = 0; // a tab tells of it twice
      for (const turned of ["focus", "visibilitychange"]) {
        window.addEventListener(turned, () => {
          clearTimeout(turning);
          turning = setTimeout(() => !document.hidden && isShown() && lookAgain(), 100);
        });
      }
      showNews(element);
    }
    // An answer that comes while a button is held down may turn it into another one: what counts is
    // what stood there when the press began. The keyboard has no such moment.
    let pressed = null;
    element.addEventListener("pointerdown", (event) => {
      const button = event.target.closest("button[data-act]");
      pressed = button && { ...button.dataset };
    });
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-act]");
      if (!button) return;
      const { act, key, start } = (event.detail && pressed) || button.dataset;
      pressed = null;
      if (event.detail > 1 && act.endsWith("-for-good")) return; // the question has just come
      if (act === "folder" || act === "files") return pick(act, "");
      if (act === "add") return pick("files", key);
      if (act === "mark") return mark(boxes(), !boxes().every(({ checked }) => checked));
      pressedLast = { act, key };
      if (OPENING.has(act)) openedBy = { act, key };
      if (button.classList.contains("lk-busy")) return; // a second click
      unfolded = new WeakMap();
      const ids = act === "remove" ? takeMarked() : [];
      const markAgain = () => key === markedIn && mark(ids.map((id) => ({ value: String(id) })), true);
      presses += 1;
      if (SLOW.has(act)) showBusy(element, { act, key, number: presses }, markAgain);
      // Another tab takes the place of this one, and is not to begin in the middle.
      if (act === "search") window.scrollTo({ top: 0 });
      const told = { act, key, start: Number(start ?? 0), ids, number: presses };
      if (LONG.has(act)) work(told);
      else trigger("select", told);
    });
    element.addEventListener("keydown", ({ key, target }) => {
      if (key !== "Escape") return;
      target.closest("li[data-key]")?.querySelector("[data-act=close]")?.click();
    });
    element.addEventListener("submit", (event) => {
      event.preventDefault();
      const { act, key } = event.target.dataset;
      pressedLast = { act, key };
      trigger("select", { act, key, value: event.target.elements.value.value });
    });
    // Gradio turns one picture's box into the next one's, and leaves the mark in it: what is marked
    // is kept here, also while another page of the pictures is shown.
    const marked = new Set();
    let markedIn = null; // the key of the card
    let markedLast = null; // where a range of them begins
    const boxes = () => [...element.querySelectorAll(".lk-marks input")];
    const write = (button, text) => {
      if (button.textContent !== text) button.textContent = text;
    };
    const showMarks = () => {
      const list = element.querySelector(".lk-marks");
      const key = list?.closest("[data-key]").dataset.key ?? null;
      if (key !== markedIn) marked.clear();
      markedIn = key;
      if (!list) return;
      const all = boxes();
      for (const box of all) box.checked = marked.has(box.value);
      const { out, outMarked, mark, unmark, most } = list.dataset;
      const [take, every] = ["remove", "mark"].map((act) =>
        list.parentElement.querySelector(`[data-act=${act}]`));
      const n = Math.min(marked.size, most);
      if (!n && document.activeElement === take) every.focus({ preventScroll: true });
      if (take.disabled !== !n) take.disabled = !n;
      write(take, n ? fill(outMarked, { n: n.toLocaleString("en") }) : out);
      write(every, all.length && all.every(({ checked }) => checked) ? unmark : mark);
    };
    const mark = (some, isOn) => {
      for (const { value } of some) marked[isOn ? "add" : "delete"](value);
      showMarks();
    };
    // Another picture may get the number of one that is gone, so what is taken out is marked no more.
    const takeMarked = () => {
      const taken = [...marked].slice(0, element.querySelector(".lk-marks").dataset.most);
      mark(taken.map((value) => ({ value })), false);
      return taken.map(Number);
    };
    element.addEventListener("click", (event) => {
      const box = event.target.closest(".lk-marks label")?.querySelector("input");
      const isBox = event.target === box;
      if (!box || (!isBox && !event.shiftKey)) return; // the browser clicks the box for its label
      if (!isBox) {
        event.preventDefault(); // some do so with Shift, too
        box.checked = !box.checked;
      }
      const all = boxes();
      const ends = [all.findIndex(({ value }) => value === markedLast), all.indexOf(box)];
      const isRange = event.shiftKey && ends[0] >= 0;
      mark(isRange ? all.slice(Math.min(...ends), Math.max(...ends) + 1) : [box], box.checked);
      markedLast = box.value;
    });
    new MutationObserver(showMarks).observe(element, {
      childList: true, subtree: true, characterData: true, attributeFilter: ["value", "disabled"],
    });
    // Nor does it leave a list unfolded.
    let unfolded = new WeakMap(); // until a button is pressed, whose answer may show other lists
    element.addEventListener("click", ({ target }) => {
      const details = target.closest?.("summary")?.parentElement;
      if (details) unfolded.set(details, !details.open);
    });
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const open = unfolded.get(target);
        if (open !== undefined && target.open !== open) target.open = open;
      }
    }).observe(element, { subtree: true, attributeFilter: ["open"] });
    // A field that has just opened is ready to be typed in, and a question to be answered with "Keep".
    // Later answers are written into it, too, and let it be.
    let ready = null; // the key of its card
    new MutationObserver(() => {
      const field = element.querySelector("[data-focus]");
      const key = field?.closest("li[data-key]").dataset.key ?? null;
      if (key === ready) return;
      ready = key;
      field?.focus();
      field?.select?.();
    }).observe(element, { childList: true, subtree: true, attributeFilter: ["data-focus"] });
  };
})();

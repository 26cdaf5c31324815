// What the page does beyond Gradio: paste and drop anywhere, buttons in our own markup, arrow keys
// through the results, and the address that reproduces a search.
(() => {
  const { behavior, pause, isShortcut } = window.lookalikeCommon;
  const crop = window.lookalikeCrop;
  const dialog = window.lookalikeDialog;
  const ASKING = ["pick", "more", "less", "remove", "back", "crop"]; // for something new
  const SETTING = ["visit", "again"]; // whose answers set the controls
  const tell = (what, data) => {
    if (!window.lookalike) return; // the page is still being made
    dialog.rest();
    if (SETTING.includes(what)) setting += 1;
    if (what === "crop") cropping += 1;
    if (what !== "visit") keepScroll();
    if (ASKING.includes(what)) stepped = false;
    window.lookalike(what, data);
  };
  // So do the map and a filter that is taken off, by an address.
  const visit = (query) => {
    stepped = false;
    tell("visit", { query });
  };
  window.lookalikeVisit = visit;

  // --- The order of what is done -----------------------------------------------------------------
  // Requests overtake each other, so each tells its number (see conversation.py), and whether the
  // controls, which it also tells of, are still to be set: by a step of the browser's buttons, by an
  // answer that is asked for once more, or as the page is opened.
  const fetchOf = window.fetch;
  let actions = 0;
  let setting = 1; // such answers under way; the first one is the page's own
  window.lookalikeSettled = () => {
    setting -= 1;
    if (!setting) settled();
  };
  const send = async (address, options) => {
    try {
      return await fetchOf(address, options);
    } catch (error) {
      if (!options?.signal?.aborted) window.lookalikeSeek();
      throw error;
    }
  };
  window.fetch = (address, options) => {
    if (!String(address).includes("/queue/join")) return send(address, options);
    const headers = new Headers(options?.headers);
    actions += 1;
    headers.set("X-Lookalike-Action", setting ? `${actions}; setting` : actions);
    return sendPatiently(address, { ...options, headers });
  };
  // For one that did not get through Gradio would load the page anew, without its upload, its box and
  // what is typed. If it did arrive, and the answer was lost, its number puts it where it was.
  const PAUSES = [500, 1000, 2000, 3000, 4000]; // milliseconds
  const sendPatiently = async (address, options) => {
    for (const time of PAUSES) {
      try {
        return await send(address, options);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        await pause(time);
      }
    }
    return send(address, options);
  };

  // Nor do answers always come, or does Gradio show them, in the order in which they were made. Where
  // one is shown after a later one, it is asked for once more.
  const orders = []; // looked after whenever something has changed
  window.lookalikeOrder = (place, askAgain) => {
    let turn = 0;
    orders.push(() => {
      const shown = Number(place()?.querySelector("[data-turn]")?.dataset.turn ?? turn);
      if (shown < turn) askAgain();
      turn = shown;
    });
  };
  window.lookalikeOrder(() => document.getElementById("results"), () => tell("again", {}));

  // --- A picture from anywhere -------------------------------------------------------------------
  const SUFFIXES = /\.(heic|heif|hif|avif|tiff?|mpo)$/i;
  const input = () => document.querySelector("#query input[type=file]");

  // Many systems have no type for HEIC, and Gradio refuses what has none: give it one by its name.
  const typed = (file) => {
    const [, suffix] = file.name.match(SUFFIXES) ?? [];
    return file.type || !suffix ? file : new File([file], file.name, { type: `image/${suffix}` });
  };

  const turnToSearch = () => turnTo("search");

  // Gradio has no field while the camera is on, which is left then, and none while a picture is on
  // its way, which is waited for.
  const MOST_WAIT = 60_000; // milliseconds
  const sending = () => document.querySelector("#query .uploading");
  let given = 0; // pictures so far; of those that wait only the last is meant
  let queued = false; // whether one waits
  let drawing = false; // a box is what comes next, so that the question stays in view
  const give = async (file, toDraw = false) => {
    dialog.leave(); // what is found would lie behind it
    given += 1;
    const mine = given;
    if (!searching()) turnToSearch();
    if (!input() && !sending()) document.querySelector("#query button[aria-label='Upload file']")?.click();
    const latest = Date.now() + MOST_WAIT;
    queued = true;
    while (!input() && mine === given && Date.now() < latest) await pause(25);
    if (mine !== given) return;
    queued = false;
    const field = input();
    if (!field) return tell("odd", { what: "no field" });
    drawing = toDraw;
    crop.ask(toDraw);
    const transfer = new DataTransfer();
    transfer.items.add(typed(file));
    field.files = transfer.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    toTop();
  };

  const isPicture = ({ type, name }) => type.startsWith("image/") || SUFFIXES.test(name ?? "");

  const searching = () => document.getElementById("query")?.offsetParent != null;
  // That tab takes drops of its own.
  const adding = () => document.getElementById("add-pictures")?.offsetParent != null;

  document.addEventListener(
    "change",
    (event) => {
      const [file] = event.target.matches?.("#query input[type=file]") ? event.target.files : [];
      if (!file) return;
      if (isPicture(file)) stepped = false;
      if (typed(file) === file && isPicture(file)) {
        coming = true;
        return;
      }
      event.stopImmediatePropagation();
      if (isPicture(file)) return give(file);
      event.target.value = "";
      tell("odd", { what: "no picture" });
    },
    true,
  );

  // Gradio takes the picture off as the next one is sent, also where that is refused or lost. The
  // results are then still of the earlier one, which comes back.
  let coming = false;
  const shown = () => document.querySelector("#query .image-frame");
  const keepPicture = async () => {
    if (!coming || queued || sending()) return;
    coming = false;
    if (shown()) return;
    drawing = false;
    if (!new URLSearchParams(seen ?? "").has("upload")) return;
    // Gradio would load the page anew for what is asked while the connection is lost.
    const answers = () => send(location.pathname, { method: "HEAD" }).then(() => true, () => false);
    while (!(await answers())) await pause(2000);
    if (shown() || sending()) return;
    visiting = true; // the box as well
    tell("again", { picture: true });
  };

  // Spreadsheets and word processors put a picture of what was copied beside the words.
  const WRITTEN_IN = ":is(input, textarea):not([type=radio], [type=checkbox], [type=range])";
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
    const writing = event.target.matches?.(WRITTEN_IN);
    if (!file || (writing && event.clipboardData.types.includes("text/plain"))) return;
    event.preventDefault();
    give(file);
  });

  // The picture at an address of this page, or null.
  const fetched = async (address) => {
    const blob = await send(address).then((answer) => answer.ok && answer.blob()).catch(() => null);
    return blob && isPicture(blob) ? new File([blob], "picture", { type: blob.type }) : null;
  };

  // Firefox hands over a picture of another page by its address alone, and would go there.
  const givenLink = async (link) => {
    dialog.leave();
    if (!searching()) turnToSearch();
    if (link.startsWith(`${location.origin}/`)) {
      const file = await fetched(link);
      return file ? give(file) : tell("odd", { what: "no picture" });
    }
    // Not all visitors may have addresses fetched.
    const field = document.querySelector("#address textarea, #address input");
    if (!field || !/^https?:/.test(link)) return tell("odd", { what: "no file" });
    field.value = link;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    setTimeout(() => document.querySelector("#address button")?.click());
    toTop(); // where it is told what is wrong with it
  };
  const linkIn = (transfer) =>
    transfer.getData("text/uri-list").split(/\r?\n/).find((line) => line && !line.startsWith("#"));

  const carries = (event) => {
    const types = event.dataTransfer?.types ?? [];
    const writing = event.target.closest?.("input, textarea");
    return types.includes("Files") ? !adding() : types.includes("text/uri-list") && !writing;
  };
  const mark = (on) => document.documentElement.classList.toggle("lk-dragging", on);

  // WebKit does not tell where a drag goes on to: if it stays here, it says so again at once.
  let leavingPage = 0;
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    clearTimeout(leavingPage);
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) leavingPage = setTimeout(mark, 100, false);
  });
  document.addEventListener(
    "drop",
    (event) => {
      mark(false);
      if (!carries(event)) return;
      // Also what falls on the upload itself: on its own it refuses HEIC that has no type.
      event.preventDefault();
      event.stopPropagation();
      if (!event.dataTransfer.types.includes("Files")) {
        // WebKit on Linux hands over nothing of a file; and what lies on a page cannot be kept.
        const link = linkIn(event.dataTransfer);
        return link && !adding() ? givenLink(link) : tell("odd", { what: "no file" });
      }
      const pictures = [...event.dataTransfer.files].filter(isPicture);
      if (pictures.length) give(pictures[0]);
      if (pictures.length !== 1) tell("odd", { what: pictures.length ? "several" : "no picture" });
    },
    true,
  );

  // A result is searched by its vectors alone; to have a part of it count, it is made an upload.
  document.addEventListener("click", async (event) => {
    const { part, small } = event.target.closest?.("#results [data-part]")?.dataset ?? {};
    if (!part) return;
    const file = (await fetched(part)) ?? (await fetched(small));
    return file ? give(file, true) : tell("odd", { what: "no picture" });
  });

  // Gradio's button takes the picture off, and says nothing, where there is none to be pasted.
  document.addEventListener(
    "click",
    async (event) => {
      if (!event.target.closest?.("#query button[aria-label='Paste from clipboard']")) return;
      event.preventDefault();
      event.stopPropagation();
      try {
        for (const item of await navigator.clipboard.read()) {
          const type = item.types.find((each) => each.startsWith("image/"));
          if (type) return give(new File([await item.getType(type)], "pasted", { type }));
        }
        tell("odd", { what: "nothing to paste" });
      } catch {
        tell("odd", { what: "no pasting" }); // the browser or its user does not let a page look
      }
    },
    true,
  );

  // --- Buttons in our markup ---------------------------------------------------------------------
  // Answers come within a double click, whose second half would fall on what they have brought.
  const ONCE = ["pick", "more", "less", "look", "why", "copies"];

  // An answer that comes while a button is held down turns it into another one: what counts is what
  // stood there when the press began.
  let pressed = null;
  document.addEventListener("pointerdown", (event) => {
    const button = event.target.closest?.("[data-do]");
    pressed = button && { ...button.dataset };
  });

  document.addEventListener("click", (event) => {
    // Where the system has no type for HEIC, "image/*" alone would hide iPhone photos in the dialog.
    input()?.setAttribute("accept", "image/*,.heic,.heif,.hif,.avif,.tif,.tiff,.mpo");
    const button = event.target.closest?.("[data-do]");
    const before = pressed;
    pressed = null; // also of a press that ends beside what it began on
    if (!button) return;
    // The keyboard has no press that an answer could come in between.
    const { do: what, key, id } = (event.detail && before) || button.dataset;
    if (event.detail > 1 && ONCE.includes(what)) return;
    if (what === "unfilter") return visit(unfiltered());
    // Safari gives a button that is clicked no focus, and arrows would go from nowhere.
    if (document.activeElement === document.body) button.focus({ preventScroll: true });
    if (dialog.opens(what)) return dialog.open(what, { key, id }, button);
    tell(what, { key, id });
    if (what === "pick" && window.innerWidth > 760) toTop();
  });

  // A field that loses the focus searches with what is in it, and that answer could take a button
  // away between its press and its release. So the field keeps the focus; where the button searches,
  // what is in the field counts as well.
  document.addEventListener("mousedown", (event) => {
    const typing = document.activeElement?.matches("#filters input, #filters textarea");
    if (typing && event.target.closest?.("#results [data-do]")) event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    // A key that is held down is one wish.
    if (event.repeat && event.key === "Enter" && event.target.closest?.("[data-do]")) {
      event.preventDefault();
    }
    const tile = event.target.closest?.(".lk-grid .lk-tile");
    if (!tile || isShortcut(event) || !event.key.startsWith("Arrow")) return;
    const picks = [...tile.parentElement.querySelectorAll(".lk-pick")];
    const at = picks.indexOf(tile.querySelector(".lk-pick"));
    const [before, after] = [picks.slice(0, at).reverse(), picks.slice(at + 1)];
    const place = (pick) => pick.getBoundingClientRect();
    const { left, top } = place(picks[at]);
    const aside = (pick) => Math.abs(place(pick).left - left);
    // Rows are told by where they lie: the line where the good matches end may cut one short.
    const nearest = (others) => {
      const first = others.find((pick) => place(pick).top !== top);
      const row = others.filter((pick) => first && place(pick).top === place(first).top);
      return row.sort((one, two) => aside(one) - aside(two))[0];
    };
    const next = {
      ArrowLeft: () => before[0],
      ArrowRight: () => after[0],
      ArrowUp: () => nearest(before),
      ArrowDown: () => nearest(after),
    }[event.key]?.();
    if (!next) return;
    event.preventDefault();
    next.focus({ focusVisible: true }); // or WebKit shows no ring after a click
  });

  // --- Downloads ----------------------------------------------------------------------------------
  // They go through frames that nobody sees, one each, so that none cuts off another. A file
  // is saved by the browser, and the frame stays as it is; anything else is loaded into it, and is
  // the reason why there is no file.
  const FRAME = "lk-download";
  let frames = 0;
  const saving = (link) => {
    const frame = document.createElement("iframe");
    frames += 1;
    frame.name = link.target = `${FRAME}-${frames}`;
    frame.hidden = true;
    document.body.append(frame);
    frame.onload = () => {
      let told = "";
      try {
        const { body, contentType, location } = frame.contentDocument;
        if (location.href === "about:blank") return;
        // A gateway's page in HTML is not for people.
        if (contentType !== "text/html") told = (body.querySelector("pre") ?? body).textContent;
        told = JSON.parse(told).error ?? told;
      } catch {
        // It is no JSON, or the browser's own page about a lost connection, which cannot be read.
      }
      frame.remove();
      tell("refused", { told });
    };
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(`a[target^=${FRAME}]`);
    if (link) saving(link);
  });

  // --- Where one was -----------------------------------------------------------------------------
  // Each step of the history keeps the tab that was open and how far it was scrolled, so that Back
  // and a page that is loaded anew come back to it. A link knows of none, and opens the search.
  const TABS = { search: "columns", library: "library", map: "map", copies: "copies", test: "test" };
  const openTab = () =>
    Object.keys(TABS).find((tab) => document.getElementById(TABS[tab])?.offsetParent != null);
  const turnTo = (tab) => {
    const at = Object.keys(TABS).indexOf(tab);
    // On a phone some lie in a menu, in an order that changes; Gradio keeps them all to measure.
    const name = document.querySelectorAll("#tabs .tab-container[aria-hidden] button")[at]?.textContent;
    const buttons = [...document.querySelectorAll("#tabs :is([role=tab], .overflow-dropdown button)")];
    const button = buttons.find((one) => one.textContent.trim() === name?.trim()) ?? buttons[at];
    // Else the focus would go with the tab that is left, and begin anew at the top.
    if (document.activeElement?.closest("[role=tabpanel]")) button?.focus({ preventScroll: true });
    button?.click();
  };
  const keep = (what) => history.replaceState({ ...history.state, ...what }, "", location.href);
  // These show the collection that is searched, which is to be set first.
  const FOLLOWING = ["map", "copies", "test"];
  let turned = false; // whether the page stands at the tab that its step was left at
  let from = "search"; // the tab that is open until then
  let looked = "search"; // the tab that was last looked at
  const keepTab = () => {
    const tab = openTab();
    if (!tab) return;
    if (tab !== looked) window.lookalikeGradio.supersede();
    looked = tab;
    const kept = history.state?.tab ?? "search";
    const byHand = turned || tab !== from;
    if (tab !== kept && !byHand && FOLLOWING.includes(kept) && (setting || stepping)) return;
    if (tab !== kept) byHand ? keep({ tab, y: Math.round(scrollY) }) : turnTo(kept);
    turned = true;
  };
  // One that shows another collection is opened anew.
  const turnToStep = () => {
    const tab = openTab();
    const kept = history.state?.tab ?? "search";
    const collection = (address) => new URLSearchParams(address ?? "").get("in");
    const stays = tab === kept && collection(seen) === collection(location.search);
    turned = stays || !FOLLOWING.includes(kept);
    from = "search";
    const next = turned ? kept : from;
    if (tab !== next) turnTo(next);
  };

  // The browser would scroll before the results are there.
  history.scrollRestoration = "manual";
  let sought = history.state?.y ?? null; // where to scroll to as soon as what was there is there again
  let moving = false; // the page itself is moving to its top
  let noting = 0;
  const keepScroll = () => {
    clearTimeout(noting);
    if (!moving && sought === null) keep({ y: Math.round(scrollY) });
  };
  const toTop = () => {
    keepScroll();
    moving = scrollY > 0;
    window.scrollTo({ top: 0, behavior: behavior() });
  };
  document.addEventListener(
    "scroll",
    () => {
      clearTimeout(noting);
      if (moving) moving = scrollY > 0;
      else noting = setTimeout(keepScroll, 300);
    },
    { passive: true },
  );
  for (const own of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    const stop = () => {
      moving = false;
      sought = null;
    };
    document.addEventListener(own, stop, { capture: true, passive: true });
  }
  const scrollBack = (latest) => {
    if (sought === null) return;
    window.scrollTo({ top: sought, behavior: "instant" });
    if (Math.abs(scrollY - sought) < 2 || Date.now() > latest) sought = null;
    else setTimeout(scrollBack, 50, latest);
  };

  // --- The address -------------------------------------------------------------------------------
  let seen = null; // the address of the results that were last looked at
  // Whether the box and the quarters of the address are those of the picture: since an answer has
  // brought it, as when the page opens, until one of them is changed or a picture is given; and again
  // when all such changes have been answered, or refused.
  let visiting = true;
  let cropping = 0; // changes under way
  let isChanged = false; // whether there was any since the picture came
  window.lookalikeCropped = () => {
    cropping -= 1;
    if (cropping || !isChanged || !crop.isTold()) return;
    visiting = true;
    requestAnimationFrame(look);
  };

  // The pictures that an address asks with.
  const askedWith = (address) => {
    const parameters = new URLSearchParams(address);
    return ["like", "unlike", "upload"].map((name) => parameters.getAll(name)).join(";");
  };

  const FILTERS = ["label", "folder", "shape", "mp", "since", "until", "words"];
  const unfiltered = () => {
    const parameters = new URLSearchParams(seen ?? "");
    FILTERS.forEach((name) => parameters.delete(name));
    return String(parameters) && `?${parameters}`;
  };
  // So that a closed drawer says that something in it counts.
  const countFilters = (address) => {
    const parameters = new URLSearchParams(address);
    const n = FILTERS.filter((name) => parameters.has(name)).length;
    const label = document.querySelector("#filters > button > span:first-child, #filters .label-wrap > span");
    if (label) label.dataset.count = n ? ` (${n})` : "";
  };

  // On a phone the results lie below the question, out of sight.
  const showAnswer = (how) => {
    if (window.innerWidth <= 760) document.getElementById("answer")?.scrollIntoView({ behavior: how });
  };

  const follow = () => {
    const address = document.querySelector("#results [data-address]")?.dataset.address;
    if (address === undefined || address === seen) return;
    if (stepped && (setting || stepping)) return; // perhaps of a step before; `settled` looks again
    countFilters(address);
    const before = seen;
    const first = before === null;
    seen = address;
    window.lookalikeGradio.supersede();
    // What a link asks for lies out of sight, too.
    const isLink = first && sought === null && new URLSearchParams(address).has("like");
    if (isLink) showAnswer("auto");
    if (address === location.search) return;
    if (first || stepped) history.replaceState(history.state, "", address);
    else history.pushState({}, "", address);
    // An option that was changed stays under the finger.
    const isAnswer = askedWith(address) !== askedWith(before) && !drawing;
    drawing = false;
    if (!first && isAnswer) showAnswer(behavior());
  };

  // How the upload counts in the search that the back or forward button has brought.
  const showAsAddressed = () => {
    const parameters = new URLSearchParams(location.search);
    const shares = parameters.get("crop")?.split("-").map(Number) ?? [];
    const box = shares.length === 4 && shares.every(Number.isFinite) ? shares : null;
    crop.show(box, Number(parameters.get("turn")));
  };
  dialog.begin(tell);
  crop.begin({
    tell: (box, quarters) => tell("crop", { box, quarters }),
    changed: () => {
      visiting = false;
      isChanged = true;
    },
    came: (source) => {
      visiting = source.startsWith("data:");
      isChanged = false;
    },
    isShown: searching,
    showAnswer: () => {
      showAnswer(behavior());
      document.querySelector("#results h2")?.focus({ preventScroll: true });
    },
  });

  // Of several steps in a row only the last is asked for: what the others bring would be taken for
  // searches of their own, and cut off the way forward.
  let stepping = 0;
  // Until the answer to a step of the browser's buttons has been looked at, or something is asked.
  let stepped = false;
  const settled = () =>
    requestAnimationFrame(() => {
      follow();
      if (setting || stepping) return;
      stepped = false;
      keepTab();
      scrollBack(Date.now() + 1500);
    });
  window.addEventListener("popstate", () => {
    const closed = dialog.isClosedByStep();
    if (closed && location.search === seen) return; // else several steps were gone at once
    if (history.state?.why) keep({ why: undefined }); // its dialog was closed, and stays so
    clearTimeout(noting);
    moving = false;
    sought = history.state?.y ?? 0;
    visiting = true;
    crop.hush(); // it would be told of the step, and the way forward be cut off
    stepped = true;
    const query = location.search;
    clearTimeout(stepping);
    stepping = setTimeout(() => {
      stepping = 0;
      tell("visit", { query });
    }, 150);
    turnToStep();
  });

  // --- Follow what Gradio changes ----------------------------------------------------------------
  // While pictures are still being read, the results are made anew again and again.
  let unfolded = false;
  document.addEventListener("click", ({ target }) => {
    const details = target.closest?.(".lk-truth summary")?.parentElement;
    if (details) unfolded = !details.open;
  });
  const unfold = () => {
    const details = document.querySelector(".lk-truth details");
    if (details) details.open = unfolded;
  };

  // Gradio says nothing of a camera that there is not, or that may not be used.
  window.addEventListener("unhandledrejection", (event) => {
    const { name } = event.reason ?? {};
    if (!/^(NotFound|NotAllowed|NotReadable|Overconstrained)Error$/.test(name) || !searching()) return;
    event.preventDefault();
    tell("odd", { what: name === "NotAllowedError" ? "camera refused" : "no camera" });
  });

  let waiting = false;
  const look = () => {
    waiting = false;
    window.lookalikeFocus.addLine();
    if (window.lookalikeGradio.look()) dialog.rest();
    keepTab();
    follow();
    keepPicture();
    unfold();
    crop.look();
    if (visiting && seen === location.search && crop.picture()) showAsAddressed();
    window.lookalikeFocus.rescue();
    dialog.look();
  };
  new MutationObserver((changes) => {
    orders.forEach((keep) => keep()); // at once: in the next frame there may be another answer
    changes.filter(({ type }) => type === "attributes").forEach(window.lookalikeGradio.hideUntilLoaded);
    if (!waiting) requestAnimationFrame(look);
    waiting = true;
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["src", "data-turn", "aria-selected"] });
})();

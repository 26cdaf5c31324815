// What is dropped or chosen on the tab "My pictures", files and whole folders: it is sent one by one,
// with the paths, and handed on to the page.
(() => {
  const { behavior, fill } = window.lookalikeCommon;
  const SUFFIXES =
    /\.(jpe?g|jpe|jfif|png|webp|gif|tiff?|bmp|dib|hei[cf]|hif|avif|mpo|zip|csv|lookalike)$/i;
  // What pictures may be in all the same, as in `retrieval.folders`; of archives those that are not
  // opened here.
  const CURED = {
    archives: /\.(7z|rar|tar|t?gz|bz2|xz)$/i,
    raw: /\.(3fr|arw|cr[23w]|dng|erf|iiq|kdc|mrw|n[er][fw]|orf|pef|raf|raw|rw[2l]|sr[2fw]|x3f)$/i,
  };
  // The folders that `retrieval.folders` passes over: of the system, and hidden ones.
  const PASSED_OVER =
    /^(\..*|\$recycle\.bin|system volume information|lost\+found|@eadir|#recycle|#snapshot|@recycle)$/i;
  // Of a library of Photos, of macOS, all but what it was handed are small copies.
  const isPassedOver = (path) =>
    path.split("/").some((part, at, parts) => PASSED_OVER.test(part) ||
      (/\.photoslibrary$/i.test(parts[at - 1] ?? "") && !/^(originals|masters)$/i.test(part)));
  const PACKED = /\.(zip|lookalike)$/i;
  const AT_ONCE = 3;
  let tell = null; // hands an upload on to the page
  let sending = null; // what is under way, so that it can be stopped
  let target = ""; // the collection that chosen files go to; "" makes a new one

  const zone = () => document.getElementById("add-pictures");
  const isShown = () => zone()?.offsetParent != null;
  const bringIntoView = (element) =>
    element?.scrollIntoView({ block: "nearest", behavior: behavior() });
  const words = () => JSON.parse(zone().dataset.words);
  // A length of time, as the page's other lines say it.
  const duration = (seconds) => {
    const { seconds: some, minute, minutes, hours } = words();
    if (seconds < 50) return fill(some, { n: Math.max(2, Math.round(seconds)) });
    if (seconds < 90) return minute;
    if (seconds < 120 * 60) return fill(minutes, { n: Math.round(seconds / 60) });
    return fill(hours, { n: Math.round(seconds / 3600) });
  };

  // What stands there is changed, and not replaced, or the button would be gone between the press
  // and the release of a mouse.
  const part = (spot, name, wanted, make) => {
    let found = spot.querySelector(`[data-part=${name}]`);
    if (!wanted) {
      found?.remove();
      return null;
    }
    if (!found) {
      found = make();
      found.dataset.part = name;
      spot.append(found);
    }
    return found;
  };

  let tenth = -1; // that was read aloud last
  const say = (text, share, stoppable) => {
    const spot = zone()?.querySelector(".lk-upload");
    if (!spot) return;
    // Read aloud are the beginning, the end, and every tenth in between, each once.
    const reached = share === undefined ? -1 : Math.floor(share / 10);
    if (text && (reached < 0 || reached !== tenth)) window.lookalikeSay(text);
    tenth = reached;
    const line = part(spot, "line", text, () => document.createElement("span"));
    if (line && line.textContent !== text) line.textContent = text;
    part(spot, "stop", text && stoppable, () => {
      const stop = document.createElement("button");
      stop.type = "button";
      stop.className = "lk-button lk-link";
      stop.textContent = words().stop;
      stop.onclick = () => sending?.abort();
      return stop;
    });
    const bar = part(spot, "bar", text && share !== undefined, () => {
      const made = document.createElement("span");
      made.className = "lk-progress";
      made.append(document.createElement("i"));
      return made;
    });
    if (bar) bar.firstChild.style.width = `${share}%`;
  };

  // What has been sent waits for its turn while something else is taken in, and is lost with the
  // page that it was sent from.
  const taken = new Set();
  const sayNoMore = (text) => {
    const line = zone()?.querySelector("[data-part=line]");
    if (line?.textContent === text && !window.lookalikeSending()) say("");
  };
  const sayNoMoreSent = () => zone() && sayNoMore(words().sent);
  // Why something was not taken is of no use any more once something else was.
  let refusal = "";
  const refuse = (text) => say((refusal = text));
  const sayNoMoreRefused = () => sayNoMore(refusal);
  const waitUntilTaken = async (upload, headers) => {
    taken.add(upload);
    const about = { method: "POST", headers: { ...headers, "X-There": "1" } };
    for (let there = true; there; ) {
      await new Promise((next) => setTimeout(next, 1_000));
      // Without an answer nobody knows.
      there = await fetch(`uploads/${upload}`, about)
        .then(async (answer) => answer.ok && (await answer.json()).there)
        .catch(() => true);
    }
    taken.delete(upload);
    sayNoMoreSent();
  };

  // --- What was dropped --------------------------------------------------------------------------
  const readAll = async (reader) => {
    const entries = [];
    for (;;) {
      // A browser hands over a hundred at a time.
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return entries;
      entries.push(...some);
    }
  };

  // Files that are no pictures are counted in `found.others`, and `found.cured` says what to do with
  // them; what cannot be read has no file.
  const countOther = (found, name) => {
    found.others += 1;
    for (const kind in CURED) if (CURED[kind].test(name)) found.cured.add(kind);
  };
  const walk = async (entry, path, found, given = null) => {
    if (isPassedOver(path + entry.name)) return;
    try {
      if (entry.isDirectory) {
        for (const child of await readAll(entry.createReader())) {
          await walk(child, `${path}${entry.name}/`, found);
        }
      } else if (SUFFIXES.test(entry.name)) {
        // One that lies on no disk, as of another page, WebKit's entry does not give.
        const opened = given ?? (await new Promise((done, failed) => entry.file(done, failed)));
        found.push({ file: opened, path: path + entry.name });
      } else countOther(found, entry.name);
    } catch {
      found.push({ file: null, path: path + entry.name });
    }
  };

  const dropped = async (transfer) => {
    // The list is emptied as soon as this handler waits, so all of it is taken first.
    const items = [...transfer.items].map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
    const found = Object.assign([], { others: 0, cured: new Set() });
    if (!items.some(([entry]) => entry)) {
      for (const file of transfer.files) found.push({ file, path: file.name });
      return found;
    }
    for (const [entry, file] of items) if (entry) await walk(entry, "", found, file);
    return found;
  };

  const chosen = (files) => {
    const seen = [...files]
      .map((file) => ({ file, path: file.webkitRelativePath || file.name }))
      .filter(({ path }) => !isPassedOver(path));
    const found = seen.filter(({ path }) => SUFFIXES.test(path));
    Object.assign(found, { others: 0, cured: new Set() });
    for (const { path } of seen) if (!SUFFIXES.test(path)) countOther(found, path);
    return found;
  };

  // --- Sending -----------------------------------------------------------------------------------
  const post = async (address, options) => {
    const answer = await fetch(address, { method: "POST", signal: sending.signal, ...options });
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      throw Object.assign(new Error(told.error ?? ""), { told: Boolean(told.error) });
    }
    return answer;
  };

  // A file goes by the older way, which alone tells how much of it has gone.
  const put = (address, headers, file, tellSent) =>
    new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      const stop = () => request.abort();
      const end = (settle, value) => {
        signal.removeEventListener("abort", stop);
        settle(value);
      };
      const { signal } = sending;
      request.open("POST", address);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded }) => tellSent(Math.min(loaded, file.size));
      request.onload = () => {
        if (request.status < 300) return end(done);
        let told = "";
        try {
          told = JSON.parse(request.responseText).error ?? "";
        } catch {
          // no sentence of ours
        }
        end(failed, Object.assign(new Error(told), { told: Boolean(told) }));
      };
      request.onerror = request.onabort = () => end(failed, new Error());
      signal.addEventListener("abort", stop);
      request.send(file);
    });

  // Whether it was the file that failed, and not the connection: one that is gone, or that only its
  // owner may open, can be named long before it is read.
  const isReadable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

  // A connection is lost for a moment when a phone changes its network, or sleeps: the file is sent
  // again after so many seconds, or as soon as there is a network.
  const RETRIES = [1, 2, 4, 8, 15, 30];
  const pause = (seconds, signal) =>
    new Promise((done) => {
      const timer = setTimeout(done, 1_000 * seconds);
      const now = () => {
        clearTimeout(timer);
        done();
      };
      window.addEventListener("online", now, { once: true });
      signal.addEventListener("abort", now, { once: true });
    });

  // Perhaps all of it had come, and only the answer was lost: the server knows the file by a mark.
  const putAtLast = async (address, headers, file, tellSent) => {
    const { signal } = sending;
    const marked = { ...headers, "X-Try": Math.random().toString(36).slice(2) };
    for (const seconds of [...RETRIES, 0]) {
      try {
        return await put(address, marked, file, tellSent);
      } catch (error) {
        if (error.told || signal.aborted || !seconds || !(await isReadable(file))) throw error;
        tellSent(0);
        say(words().again, undefined, true);
        await pause(seconds, signal);
        const about = { ...marked, "X-There": "1" };
        const answer = await post(address, { headers: about }).catch(() => null);
        const { there, got } = (await answer?.json().catch(() => null)) ?? { there: true };
        if (signal.aborted || !there) throw error;
        if (got) return;
      }
    }
  };

  const queue = []; // what was dropped while something else was under way
  window.lookalikeSending = () => Boolean(sending || taken.size || queue.length);
  // What went wrong is still to be read where the page is loaded anew, for an app that was started
  // anew.
  const SAID = "lookalike-said";
  let failure = "";
  window.lookalikeKeepSaid = () => {
    if (failure) window.lookalikeMemory.set(SAID, failure);
  };
  const sayAgain = () => {
    const said = window.lookalikeMemory.get(SAID);
    window.lookalikeMemory.set(SAID, null);
    if (said) refuse(said);
  };
  const send = async (found, key) => {
    if (!zone()) return;
    if (!sending) failure = "";
    if (!found.length) {
      const cures = [...found.cured].map((kind) => words()[kind]);
      return refuse([words().none, ...cures].join(" "));
    }
    if (sending) {
      queue.push([found, key]);
      return;
    }
    sending = new AbortController();
    // Whoever adds to a card far below sees nothing of it there.
    const showZone = () => bringIntoView(zone());
    showZone();
    const headers = { "X-Lookalike": "1" };
    // A file that is too large, or cannot be read, is not sent: the server is told of it, and the
    // page says so.
    const most = Number(zone().dataset.most);
    const isSent = ({ file, path }) => file && (!(file.size > most) || PACKED.test(path));
    const fit = found.filter(isSent);
    const bytes = fit.reduce((sum, { file }) => sum + file.size, 0);
    let done = 0;
    let sent = 0;
    let upload = "";
    let asked = false; // to stop
    let wrong = false;
    const begun = performance.now();
    // What has come so far takes room, which nobody else could give back.
    const giveUp = () => {
      const about = { ...headers, "X-Drop": "1" };
      if (upload) fetch(`uploads/${upload}`, { method: "POST", headers: about, keepalive: true });
    };
    window.addEventListener("pagehide", giveUp);
    const progress = () => {
      const percent = Math.floor((100 * sent) / Math.max(1, bytes));
      const total = found.length.toLocaleString("en");
      const more = queue.reduce((sum, [{ length }]) => sum + length, 0);
      const seconds = (performance.now() - begun) / 1_000;
      // Of the first seconds nobody can tell how many there will be.
      const left = seconds > 4 && sent > 0 ? (seconds * (bytes - sent)) / sent : 0;
      say(
        fill(words().sending, { done: done.toLocaleString("en"), total, percent }) +
          (left > 2 ? fill(words().left, { time: duration(left) }) : "") +
          (more ? fill(words().more, { n: more.toLocaleString("en") }) : ""),
        percent,
        true,
      );
    };
    try {
      progress();
      const body = JSON.stringify({ files: fit.length, bytes, others: found.others });
      ({ upload } = await (await post("uploads", { headers, body })).json());
      const waiting = found.values();
      const one = async () => {
        for (const one of waiting) {
          const { file, path } = one;
          const about = { ...headers, "X-Name": encodeURIComponent(path) };
          if (file) about["X-Modified"] = file.lastModified;
          const leaveOut = (size) =>
            post(`uploads/${upload}`, { headers: { ...about, "X-Size": size } });
          if (isSent(one)) {
            let counted = 0;
            const count = (loaded) => {
              sent += loaded - counted;
              counted = loaded;
              progress();
            };
            try {
              await putAtLast(`uploads/${upload}`, about, file, count);
            } catch (error) {
              if (error.told || sending.signal.aborted || (await isReadable(file))) throw error;
              await leaveOut("unread");
            }
            count(file.size);
          } else await leaveOut(file?.size ?? "unread");
          done += 1;
          progress();
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, one));
      say(words().sent);
      tell?.({ upload, key });
      waitUntilTaken(upload, headers);
    } catch (error) {
      asked = sending.signal.aborted && !error.told;
      wrong = !asked;
      const said = error.told ? error.message : asked ? words().stopped : words().failed;
      if (wrong) failure = said;
      refuse(said);
      showZone();
      sending.abort(); // the others under way
      giveUp();
    } finally {
      window.removeEventListener("pagehide", giveUp);
      sending = null;
      if (asked) queue.length = 0;
      // What went wrong is to be read before the next begins.
      else if (queue.length) setTimeout(() => send(...queue.shift()), wrong ? 6_000 : 0);
    }
  };

  window.addEventListener("beforeunload", (event) => {
    if (sending || taken.size) event.preventDefault();
  });

  // --- What people do ----------------------------------------------------------------------------
  const carriesFiles = (event) => isShown() && event.dataTransfer?.types.includes("Files");
  const cardOf = (event) => event.target.closest?.(".lk-collection");
  const mark = (over) => {
    document.querySelectorAll(".lk-over").forEach((one) => one.classList.remove("lk-over"));
    over?.classList.add("lk-over");
  };

  let leavingPage = 0; // as in page.js
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    clearTimeout(leavingPage);
    const card = cardOf(event);
    mark(card ? card.closest("[data-drop]") : zone());
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) leavingPage = setTimeout(mark, 100, null);
  });
  document.addEventListener(
    "drop",
    async (event) => {
      mark(null);
      if (!carriesFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      const card = cardOf(event);
      const { inPlace, drop } = card?.dataset ?? {};
      // It would be refused, and only after everything has been sent.
      if (inPlace !== undefined) return refuse(words().in_place);
      if (card && drop === undefined) return refuse(words().closed);
      const found = dropped(event.dataTransfer);
      if (!sending) say(words().looking); // into a folder of thousands, for a while
      send(await found, drop ?? "");
    },
    true,
  );
  document.addEventListener("change", (event) => {
    const input = event.target.closest?.("#add-pictures input[type=file]");
    if (!input) return;
    const found = chosen(input.files);
    input.value = "";
    send(found, target);
  });

  // Opens the browser's dialog; what is chosen goes to the collection of that key.
  const pick = (kind, key) => {
    target = key;
    zone()?.querySelector(`[data-pick=${kind}]`).click();
  };

  // Called when the place to drop things is on the page, with what hands an upload on.
  const begin = (element, trigger) => {
    tell = (data) => trigger("select", data);
    const filled = new MutationObserver(() => {
      if (!zone()) return;
      filled.disconnect();
      sayAgain();
    });
    filled.observe(element, { childList: true, subtree: true });
  };
  window.lookalikeUploads =
    { begin, pick, zone, isShown, bringIntoView, sayNoMoreSent, sayNoMoreRefused };
})();

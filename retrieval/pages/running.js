// Whether the app runs. It may have ended, or the way to it may be cut: the page says so, instead of
// Gradio, whose own words come late, and goes on by itself. One that was started anew knows nothing of
// the page, which is then loaded anew.
(() => {
  // What a tab keeps where its page is loaded anew. In a frame of another site a browser may keep
  // nothing for us.
  window.lookalikeMemory = {
    get: (name) => {
      try {
        return sessionStorage.getItem(name);
      } catch {
        return null;
      }
    },
    set: (name, value) => {
      try {
        if (value === null) sessionStorage.removeItem(name);
        else sessionStorage.setItem(name, value);
      } catch {
        // it is lost, then
      }
    },
  };

  const { words, pause } = window.lookalikeCommon;
  const fetchOf = window.fetch; // page.js counts what goes by its own
  const FIRST = 600; // milliseconds until it is asked once more
  const THEN = 1500;
  const PATIENCE = 5000;
  const RELOADED = "lookalike-reloaded"; // the app for which this page was last loaded anew
  const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const isSending = () => Boolean(window.lookalikeSending?.()); // to "My pictures"

  // Which run of the app answers; or "lost" where nobody does, and "late" where that is not to be
  // seen: the app is busy, or the browser keeps the question to itself, since all the connections
  // that it has to one place are taken, by what is being sent or by other pages of the app.
  const ask = async () => {
    const control = new AbortController(); // older than AbortSignal.timeout, and all browsers have it
    const timer = setTimeout(() => control.abort(), PATIENCE);
    try {
      const answer = await fetchOf("gradio_api/app_id", { signal: control.signal, cache: "no-store" });
      if (!answer.ok) return { missing: "lost" }; // a proxy answers for what is gone
      return { run: (await answer.json()).app_id };
    } catch {
      return { missing: control.signal.aborted ? "late" : "lost" };
    } finally {
      clearTimeout(timer);
    }
  };

  const say = (what) => {
    const bar = document.getElementById("lk-lost");
    const { [what]: said, unreachable } = words();
    const text = what === "lost" && !isHere ? unreachable : said;
    if (!text) return bar?.remove();
    if (bar) {
      if (bar.textContent !== text) bar.textContent = text;
      return;
    }
    const fresh = document.createElement("div");
    fresh.id = "lk-lost";
    fresh.setAttribute("role", "alert");
    fresh.textContent = text;
    document.body.append(fresh);
  };

  const memory = window.lookalikeMemory;
  const isNewTo = (run) => {
    if (memory.get(RELOADED) === String(run)) return false;
    memory.set(RELOADED, run);
    return true;
  };
  // One that comes out of the browser's memory may be of a run before the one for which another page
  // was loaded anew in this tab.
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) memory.set(RELOADED, null);
  });

  let seeking = false;
  const seek = async () => {
    if (seeking) return;
    seeking = true;
    let { run, missing } = await ask();
    for (let time = FIRST; missing; time = THEN) {
      // A page that nobody looks at asks nothing.
      if (document.hidden) return (seeking = false);
      // Once is nothing: a network that changes, say. Nor is it late that this page itself sends.
      if (time !== FIRST) say(missing === "late" && isSending() ? "" : missing);
      await pause(time);
      ({ run, missing } = await ask());
    }
    seeking = false;
    say("");
    const known = window.gradio_config?.app_id;
    // What is on its way to "My pictures" has words and tries of its own. Once for each run: where
    // two answer by turns it would never end.
    if (known === undefined || run === known || isSending() || !isNewTo(run)) return;
    window.lookalikeKeepSaid?.();
    location.reload();
  };
  window.lookalikeSeek = seek;
  setInterval(() => document.hidden || seek(), isHere ? 2000 : 10_000);
  document.addEventListener("visibilitychange", () => document.hidden || seek());
  window.addEventListener("offline", seek);

  // Gradio's words for the same.
  const GRADIOS = /Connection (to the server was lost|errored out)/;
  new MutationObserver(() => {
    if (!document.getElementById("lk-lost")) return;
    for (const toast of document.querySelectorAll("[data-testid=toast-body]")) {
      if (GRADIOS.test(toast.textContent)) toast.dataset.hushed = "";
    }
  }).observe(document, { childList: true, subtree: true });
})();

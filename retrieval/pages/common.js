// What several scripts of the page ask: its words, and what the browser's user has and likes.
(() => {
  const quiet = matchMedia("(prefers-reduced-motion: reduce)");
  window.lookalikeCommon = {
    touch: matchMedia("(hover: none) and (pointer: coarse)"),
    quiet,
    behavior: () => (quiet.matches ? "auto" : "smooth"), // of scrolling
    words: () => document.getElementById("lk-words")?.dataset ?? {},
    fill: (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]),
    pause: (time) => new Promise((resolve) => setTimeout(resolve, time)), // milliseconds
    // With these keys arrows are the browser's: Alt and the left one, on a Mac Cmd, go back.
    isShortcut: (event) => event.altKey || event.ctrlKey || event.metaKey,
  };
})();

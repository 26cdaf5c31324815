// What those follow who do not see the page, or use no mouse: one line that is read aloud, and the focus,
// which is not lost with what had it.
(() => {
  // --- What is read aloud ------------------------------------------------------------------------
  // One line for all that has no place of its own: a screen reader hears only of what changes in one
  // that was there before.
  let line = null;
  let saying = 0;
  const addLine = () => {
    if (line) return;
    line = document.createElement("p");
    line.id = "lk-aloud";
    line.className = "lk-sr";
    line.setAttribute("role", "status");
    document.body.append(line);
  };
  window.lookalikeSay = (text) => {
    if (!line) return;
    line.textContent = ""; // or the same sentence would not be read a second time
    clearTimeout(saying);
    saying = setTimeout(() => (line.textContent = text), 50);
  };

  // --- The focus ---------------------------------------------------------------------------------
  // What has it may vanish with an answer, and the browser would begin at the top of the page again.
  // It goes to the same button in that place, to what stands there instead, or to the heading.
  const PLACES = "#query, #results, #add-pictures, #library-add, #library-list, #test-stop";
  const INSTEAD = { query: ["#lk-crop", "#query button"], "add-pictures": ["#add-pictures button"] };
  // "Stop" goes with what it ends: instead of it stands the button that began that.
  document.addEventListener(
    "click",
    ({ target }) => {
      const id = target.closest?.("#test-start, #test-compare")?.id;
      if (id) INSTEAD["test-stop"] = [`#${id}`];
    },
    true,
  );
  const isThere = (one) => one.isConnected && !one.disabled && one.getClientRects().length > 0;
  const findAll = (selector) => [...document.querySelectorAll(selector)].filter(isThere);
  let held = null;
  // Where the focus stands for want of its button, and what was lost: the answer to something earlier
  // may have come, without such a button. That of the next answer gets it, unless somebody goes on.
  let meanwhile = null;
  document.addEventListener("pointerdown", () => (held = meanwhile = null), true);
  document.addEventListener("keydown", () => (meanwhile = null), true);
  document.addEventListener("focusin", ({ target }) => {
    if (target.closest(".lk-why")) return; // gives it back itself
    const place = target.closest(PLACES)?.id;
    const card = target.closest("li[data-key]")?.dataset.key;
    const inside = `#${place} ${card === undefined ? "" : `li[data-key="${CSS.escape(card)}"]`}`;
    const { do: what, act } = target.dataset;
    const alike = what ? `[data-do="${what}"]` : `[data-act="${act}"]`;
    held = {
      target,
      place,
      panel: target.closest("[role=tabpanel]"),
      alike: `${inside} ${alike}`,
      at: place ? [...document.querySelectorAll(`${inside} ${alike}`)].indexOf(target) : -1,
      card: card === undefined ? "" : `${inside} button`,
      isSeen: target.matches(":focus-visible"),
    };
  });
  const rescueFocus = () => {
    const now = document.activeElement;
    if (!held || (now !== document.body && now !== held.target)) return;
    const waits = held.target === meanwhile?.stand;
    const stands = isThere(held.target);
    if (stands && !waits) return;
    const { place, panel, alike, at, card, isSeen } = waits ? meanwhile.lost : held;
    const same = findAll(alike).slice(0, at + 1).at(-1);
    if (stands && !same) return;
    if (place === "query" && document.querySelector("#query .uploading")) return; // another one comes
    if (!place && (!panel || isThere(panel))) return; // not ours
    const next =
      same ??
      [card, ...(INSTEAD[place] ?? []), "#results h2", "#library-list h2", "[role=tab].selected"]
        .map((selector) => selector && findAll(selector)[0])
        .find(Boolean);
    meanwhile = same ? null : { stand: next, lost: waits ? meanwhile.lost : held };
    next?.focus({ preventScroll: !isSeen });
  };

  window.lookalikeFocus = { addLine, rescue: rescueFocus };
})();

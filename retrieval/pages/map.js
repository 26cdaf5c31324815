// The tab "Map": a collection laid out in the plane, moved by mouse, touch and keyboard. Thousands of
// pictures are a handful of sheets that the server has drawn; only what is in view is loaded and
// drawn, and only when something has changed. Names are set as text, never as markup.
(() => {
  const SHARP = 36; // device pixels of a cell from which on its own thumbnail is worth loading
  const THUMBNAILS = { shown: 320, held: 400, atOnce: 6 };
  const SHEETS = { shown: 40, held: 64, atOnce: 4 };
  const LARGEST = 260; // pixels of a cell
  const AGAIN = 5000; // milliseconds until a picture that did not come is asked for once more
  const TAPPED = 24; // a finger cannot choose among smaller pictures, so it zooms in
  const { quiet } = window.lookalikeCommon;

  // Pictures by their addresses: loaded a few at a time, and the last used are held.
  const pictures = ({ held: most, atOnce }, changed, missing = () => {}) => {
    const held = new Map();
    const under = new Set();
    const failed = new Set();
    let waiting = [];
    let closed = false;
    const load = async (address) => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(address);
      return createImageBitmap(await answer.blob());
    };
    const next = () => {
      while (!closed && under.size < atOnce && waiting.length) {
        const address = waiting.shift();
        if (held.has(address) || under.has(address) || failed.has(address)) continue;
        under.add(address);
        load(address)
          .then((bitmap) => {
            if (closed) return bitmap.close();
            held.set(address, bitmap);
            for (const [oldest, one] of held) {
              if (held.size <= most) break;
              one.close();
              held.delete(oldest);
            }
            changed();
          })
          .catch(() => {
            // It is tried again later: the connection may be back by then.
            if (!failed.size) missing();
            failed.add(address);
            setTimeout(() => {
              failed.delete(address);
              if (!closed) changed();
            }, AGAIN);
          })
          .finally(() => {
            under.delete(address);
            next();
          });
      }
    };
    return {
      get: (address) => {
        const bitmap = held.get(address);
        if (!bitmap) return undefined;
        held.delete(address);
        held.set(address, bitmap);
        return bitmap;
      },
      // What was wanted for an earlier view, and has not been begun, is let go.
      want: (addresses) => {
        waiting = addresses;
        next();
      },
      close: () => {
        closed = true;
        for (const bitmap of held.values()) bitmap.close();
        held.clear();
      },
    };
  };

  const open = (box, data, search, lost) => {
    const canvas = box.querySelector("canvas");
    const context = canvas.getContext("2d");
    const tip = box.querySelector(".lk-map-tip");
    const buttons = box.querySelector(".lk-map-buttons");
    const spoken = box.querySelector("[aria-live]");
    const { columns, rows, cells, sheet, sides } = data;
    const n = data.ids.length;

    // Which picture lies in a cell, and which sheets there are.
    const at = new Int32Array(columns * rows).fill(-1);
    const there = sides.map(() => new Set());
    for (let i = 0; i < n; i++) {
      const [column, row] = [cells[2 * i], cells[2 * i + 1]];
      at[row * columns + column] = i;
      sides.forEach((side, level) => {
        const per = sheet / side;
        there[level].add(`${level}-${Math.floor(column / per)}-${Math.floor(row / per)}`);
      });
    }
    const sheetAddress = (name) => `${box.dataset.sheets}/${name}.webp`;
    const thumbnailAddress = (i) => `thumbnails/${encodeURIComponent(box.dataset.key)}/${data.hashes[i]}.jpg`;
    const pictureAt = (column, row) =>
      column < 0 || row < 0 || column >= columns || row >= rows ? -1 : at[row * columns + column];

    let ratio = 1;
    let [width, height] = [0, 0]; // CSS pixels
    let view = null; // the cell in the middle, and the pixels of a cell
    let hovered = -1;
    let centred = -1; // what Enter searches with, while the map has the focus
    let frame = 0;
    let glide = 0;
    let accent = "";

    const redraw = () => {
      if (!frame) frame = requestAnimationFrame(draw);
    };
    const sheets = pictures(SHEETS, redraw, lost); // they are gone where the map was drawn anew
    const thumbnails = pictures(THUMBNAILS, redraw);

    // --- Drawing ---------------------------------------------------------------------------------
    const draw = () => {
      frame = 0;
      if (!view || !width) return;
      const side = view.scale * ratio;
      const left = Math.round((width * ratio) / 2 - view.x * side);
      const top = Math.round((height * ratio) / 2 - view.y * side);
      context.clearRect(0, 0, canvas.width, canvas.height);
      const range = (per) => ({
        from: [Math.max(0, Math.floor(-left / (per * side))), Math.max(0, Math.floor(-top / (per * side)))],
        to: [
          Math.min(Math.ceil(columns / per), Math.ceil((canvas.width - left) / (per * side))),
          Math.min(Math.ceil(rows / per), Math.ceil((canvas.height - top) / (per * side))),
        ],
      });
      const inside = (per) => {
        const { from, to } = range(per);
        const found = [];
        for (let row = from[1]; row < to[1]; row++) {
          for (let column = from[0]; column < to[0]; column++) found.push([column, row]);
        }
        return found;
      };

      const [farPer, nearPer] = sides.map((one) => sheet / one);
      const near = inside(nearPer);
      const detailed = near.length <= SHEETS.shown;
      const wanted = [];
      const paint = (name, column, row, per) => {
        const bitmap = sheets.get(sheetAddress(name));
        if (!bitmap) wanted.push(sheetAddress(name));
        else {
          const size = per * side;
          context.drawImage(bitmap, left + column * size, top + row * size, size, size);
        }
        return Boolean(bitmap);
      };
      if (!detailed) {
        for (const [column, row] of inside(farPer)) {
          const name = `0-${column}-${row}`;
          if (there[0].has(name)) paint(name, column, row, farPer);
        }
      }
      const share = farPer / nearPer;
      for (const [column, row] of detailed ? near : []) {
        const name = `1-${column}-${row}`;
        if (!there[1].has(name) || paint(name, column, row, nearPer)) continue;
        // Until it is here, its part of the sheet from afar stands in for it.
        const far = `0-${Math.floor(column / share)}-${Math.floor(row / share)}`;
        const bitmap = sheets.get(sheetAddress(far));
        if (!bitmap) {
          wanted.unshift(sheetAddress(far));
          continue;
        }
        const part = sheet / share;
        const size = nearPer * side;
        context.drawImage(
          bitmap,
          ...[(column % share) * part, (row % share) * part, part, part],
          ...[left + column * size, top + row * size, size, size],
        );
      }
      sheets.want(wanted);

      const visible = side > SHARP ? inside(1).map(([c, r]) => pictureAt(c, r)).filter((i) => i >= 0) : [];
      if (visible.length && visible.length <= THUMBNAILS.shown) {
        const missing = [];
        const gap = side / 32;
        for (const i of visible) {
          const bitmap = thumbnails.get(thumbnailAddress(i));
          if (!bitmap) {
            missing.push(i);
            continue;
          }
          // The middle of it, as on the sheets.
          const short = Math.min(bitmap.width, bitmap.height);
          // What the sheet has of it is blurred beyond its edges.
          context.clearRect(left + cells[2 * i] * side, top + cells[2 * i + 1] * side, side, side);
          context.drawImage(
            bitmap,
            ...[(bitmap.width - short) / 2, (bitmap.height - short) / 2, short, short],
            ...[left + cells[2 * i] * side + gap, top + cells[2 * i + 1] * side + gap],
            ...[side - 2 * gap, side - 2 * gap],
          );
        }
        // Those in the middle first: that is where one looks.
        const off = (i) => (cells[2 * i] + 0.5 - view.x) ** 2 + (cells[2 * i + 1] + 0.5 - view.y) ** 2;
        missing.sort((a, b) => off(a) - off(b));
        thumbnails.want(missing.map(thumbnailAddress));
      } else thumbnails.want([]);

      const marked = hovered >= 0 ? hovered : centred;
      if (marked >= 0) {
        accent ||= getComputedStyle(box).getPropertyValue("--color-accent");
        context.strokeStyle = accent;
        context.lineWidth = Math.max(2, 2 * ratio);
        const [x, y] = [left + cells[2 * marked] * side, top + cells[2 * marked + 1] * side];
        context.strokeRect(x, y, side, side);
      }
      showTip(marked);
    };

    // --- Which picture it is ---------------------------------------------------------------------
    const label = (i) => data.labels[data.label[i]];
    let tipped = -1;
    const showTip = (i) => {
      tip.hidden = i < 0;
      if (i < 0) {
        tipped = -1;
        return;
      }
      if (i !== tipped) {
        tipped = i;
        const [image, name, kind] = tip.children;
        image.src = thumbnailAddress(i);
        name.textContent = data.names[i];
        kind.textContent = label(i);
      }
      // Where the picture is large enough, its name alone is shown.
      tip.classList.toggle("lk-small", view.scale > 120);
      const x = width / 2 + (cells[2 * i] + 0.5 - view.x) * view.scale;
      const y = height / 2 + (cells[2 * i + 1] - view.y) * view.scale;
      const room = tip.getBoundingClientRect();
      const below = y + view.scale + 8;
      const above = y - room.height - 8;
      const leftmost = Math.min(width - room.width - 6, Math.max(6, x - room.width / 2));
      const over = above >= 6 || below + room.height > height;
      tip.style.transform = `translate(${leftmost}px, ${Math.max(6, over ? above : below)}px)`;
    };

    let speaking = 0;
    const findCentred = () => {
      if (!canvas.matches(":focus-visible")) {
        centred = -1;
        return;
      }
      let nearest = -1;
      let least = Infinity;
      const reach = 12;
      const [x, y] = [Math.floor(view.x), Math.floor(view.y)];
      for (let row = y - reach; row <= y + reach; row++) {
        for (let column = x - reach; column <= x + reach; column++) {
          const i = pictureAt(column, row);
          const distance = (column + 0.5 - view.x) ** 2 + (row + 0.5 - view.y) ** 2;
          if (i < 0 || distance >= least) continue;
          [nearest, least] = [i, distance];
        }
      }
      if (nearest === centred) return;
      centred = nearest;
      clearTimeout(speaking);
      speaking = setTimeout(() => {
        const parts = nearest < 0 ? [] : [data.names[nearest], label(nearest)];
        spoken.textContent = parts.filter(Boolean).join(", ");
      }, 400);
    };

    // --- Moving ----------------------------------------------------------------------------------
    const whole = () => {
      // On a phone the buttons lie in a row, for which there is room below.
      const below = buttons.offsetWidth > buttons.offsetHeight ? height - buttons.offsetTop : 0;
      const scale = Math.min((width - 24) / columns, (height - 24 - below) / rows, 160);
      return { x: columns / 2, y: rows / 2 + below / (2 * scale), scale };
    };
    const bounded = ({ x, y, scale }) => ({
      x: Math.min(columns, Math.max(0, x)),
      y: Math.min(rows, Math.max(0, y)),
      scale: Math.min(LARGEST, Math.max(0.7 * whole().scale, scale)),
    });
    let isWhole = true; // that is what is shown, and is to be after the window has changed its size
    const go = (next) => {
      cancelAnimationFrame(glide);
      glide = 0;
      isWhole = false;
      view = bounded(next);
      findCentred();
      redraw();
    };
    // Keys and buttons jump far, so the eye is led there.
    let target = null;
    const glideTo = (next) => {
      const to = bounded(next);
      if (quiet.matches) return go(to);
      cancelAnimationFrame(glide);
      isWhole = false;
      target = to;
      const from = { ...view };
      const begun = performance.now();
      const step = (now) => {
        const done = Math.min(1, Math.max(0, (now - begun) / 180));
        const eased = 1 - (1 - done) ** 3;
        view = {
          x: from.x + (to.x - from.x) * eased,
          y: from.y + (to.y - from.y) * eased,
          scale: from.scale * (to.scale / from.scale) ** eased,
        };
        glide = done < 1 ? requestAnimationFrame(step) : 0;
        findCentred();
        redraw();
      };
      glide = requestAnimationFrame(step);
    };
    const showWhole = () => {
      glideTo(whole());
      isWhole = true;
    };
    // A key that is held down goes on from where the last step leads.
    const aim = () => (glide ? target : view);
    const zoomed = (from, x, y, factor) => {
      const { scale } = bounded({ ...from, scale: from.scale * factor });
      const grown = 1 / from.scale - 1 / scale;
      return { x: from.x + (x - width / 2) * grown, y: from.y + (y - height / 2) * grown, scale };
    };

    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const pace = event.ctrlKey ? 0.01 : event.deltaMode ? 0.06 : 0.0018;
        go(zoomed(view, event.offsetX, event.offsetY, Math.exp(-event.deltaY * pace)));
        hover(event);
      },
      { passive: false },
    );

    // A pinch on a trackpad is a turn of the wheel, but in Safari, which on a phone tells of it beside
    // the fingers.
    let pinched = 1;
    const pinch = (event) => {
      event.preventDefault();
      if (fingers.size) return;
      const { left, top } = canvas.getBoundingClientRect();
      const by = event.type === "gesturestart" ? 1 : event.scale / pinched;
      pinched = event.scale;
      go(zoomed(view, event.clientX - left, event.clientY - top, by));
    };
    for (const kind of ["gesturestart", "gesturechange", "gestureend"]) {
      canvas.addEventListener(kind, pinch, { passive: false });
    }

    const cellAt = (x, y) => [
      Math.floor(view.x + (x - width / 2) / view.scale),
      Math.floor(view.y + (y - height / 2) / view.scale),
    ];
    const hover = (event) => {
      const found = pictureAt(...cellAt(event.offsetX, event.offsetY));
      canvas.classList.toggle("lk-on", found >= 0);
      if (found === hovered) return;
      hovered = found;
      redraw();
    };

    const fingers = new Map();
    let moved = 0;
    let most = 0; // fingers at one time since the first came down
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      if (!fingers.size) [moved, most] = [0, 0];
      fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      most = Math.max(most, fingers.size);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return event.pointerType === "mouse" && hover(event);
      const now = [event.offsetX, event.offsetY];
      fingers.set(event.pointerId, now);
      moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (moved < 5) return;
      hovered = -1;
      canvas.classList.add("lk-moving");
      let next = {
        ...view,
        x: view.x - (now[0] - before[0]) / view.scale / fingers.size,
        y: view.y - (now[1] - before[1]) / view.scale / fingers.size,
      };
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
        const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
        next = zoomed(next, ...middle, apart(now) / Math.max(1, apart(before)));
      }
      go(next);
    });
    const lift = (event) => {
      if (!fingers.delete(event.pointerId)) return;
      if (!fingers.size) canvas.classList.remove("lk-moving");
      if (event.type !== "pointerup" || moved >= 5 || most > 1) return;
      const found = pictureAt(...cellAt(event.offsetX, event.offsetY));
      if (event.pointerType !== "mouse" && view.scale < TAPPED) {
        glideTo(zoomed(view, event.offsetX, event.offsetY, 3));
      } else if (found >= 0) search(data.ids[found]);
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => {
      hovered = -1;
      redraw();
    });

    const zoom = (factor) => glideTo({ ...aim(), scale: aim().scale * factor });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const far = Math.max(1, 90 / aim().scale);
      const by = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
      if (by) glideTo({ ...aim(), x: aim().x + by[0], y: aim().y + by[1] });
      else if (event.key === "+" || event.key === "=") zoom(1.5);
      else if (event.key === "-") zoom(1 / 1.5);
      else if (event.key === "0" || event.key === "Home") showWhole();
      else if (event.key === "Enter" && centred >= 0) search(data.ids[centred]);
      else return;
      hovered = -1;
      event.preventDefault();
    });
    for (const happens of ["focus", "blur"]) {
      canvas.addEventListener(happens, () => {
        if (view) findCentred();
        redraw();
      });
    }
    box.querySelectorAll("[data-zoom]").forEach((button) => {
      button.onclick = () => {
        const way = button.dataset.zoom;
        if (way === "whole") showWhole();
        else zoom(way === "in" ? 1.8 : 1 / 1.8);
      };
    });

    const fit = () => {
      const room = canvas.getBoundingClientRect();
      if (!room.width || !room.height) return; // another tab is open
      [width, height] = [room.width, room.height];
      ratio = Math.min(2, devicePixelRatio || 1);
      const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
      if (view && canvas.width === pixels[0] && canvas.height === pixels[1]) return;
      [canvas.width, canvas.height] = pixels;
      context.imageSmoothingQuality = "medium";
      accent = "";
      if (isWhole) cancelAnimationFrame(glide);
      view = bounded(isWhole ? whole() : view);
      redraw();
    };
    // In the next frame: WebKit calls it an error where what is observed changes at once.
    const size = new ResizeObserver(() => requestAnimationFrame(fit));
    size.observe(canvas);

    const close = () => {
      cancelAnimationFrame(frame);
      cancelAnimationFrame(glide);
      clearTimeout(speaking);
      size.disconnect();
      sheets.close();
      thumbnails.close();
    };
    return { fit, close };
  };

  // --- Searching -----------------------------------------------------------------------------------
  // The results are waited for before the tab is left: opening the search tab asks for them again.
  // Where none come, or something else is picked or looked at meanwhile, all stays as it is.
  const MOST_WAIT = 30_000; // milliseconds
  let picks = 0;
  const searchWith = (key, id, leave) => {
    const placed = `${key}:${id}`;
    const shown = () =>
      new URLSearchParams(document.querySelector("#results [data-address]")?.dataset.address ?? "");
    // How to search stays as it is; filters of the results would hide what the map shows.
    const kept = [...shown()].filter(([name]) => ["match", "n", "order", "clean"].includes(name));
    const query = new URLSearchParams([["in", key], ["like", placed], ...kept]);
    window.lookalikeVisit(`?${query}`);
    picks += 1;
    const mine = picks;
    const latest = Date.now() + MOST_WAIT;
    const look = () => {
      if (mine !== picks || !document.querySelector(".lk-map")?.offsetParent) return;
      if (shown().getAll("like").join() !== placed) return Date.now() < latest && setTimeout(look, 40);
      leave();
      window.scrollTo({ top: 0 });
      if (window.innerWidth <= 760) showAnswer(latest);
    };
    look();
  };
  // On a phone the results lie below the question, out of sight.
  const showAnswer = (latest) => {
    const answer = document.getElementById("answer");
    if (answer?.offsetParent) answer.scrollIntoView();
    else if (Date.now() < latest) setTimeout(showAnswer, 40, latest);
  };

  // Called by our markup when it appears.
  window.lookalikeMap = (element, { pick, lost }) => {
    let shown = ""; // the address of the map that is open
    let map = null;
    let failed = 0; // times in a row
    const look = async () => {
      const box = element.querySelector(".lk-map");
      const address = box?.dataset.map ?? "";
      // Gradio changes what is there into what it should be, and takes the canvas's size away.
      if (address === shown) return map?.fit();
      map?.close();
      map = null;
      shown = address;
      if (!box) return;
      const stale = box.querySelector("canvas");
      stale.replaceWith(stale.cloneNode()); // listens to nobody
      try {
        const answer = await fetch(address);
        if (!answer.ok) throw new Error(address);
        const data = await answer.json();
        if (shown !== address) return;
        map = open(box, data, (id) => searchWith(box.dataset.key, id, pick), lost);
        box.dataset.ready = address;
        failed = 0;
      } catch (error) {
        console.warn(error);
        if (shown !== address) return;
        lost(); // if it was drawn anew: ask where it is now
        // If the connection was lost: Gradio changes nothing at the same answer, so it is up to us.
        shown = "";
        setTimeout(look, Math.min(60, 2 ** ++failed) * 1000);
      }
    };
    element.addEventListener("click", (event) => {
      const { mapKey, mapId } = event.target.closest?.("[data-map-id]")?.dataset ?? {};
      if (mapId) searchWith(mapKey, Number(mapId), pick);
    });
    new MutationObserver(look).observe(element, {
      childList: true,
      subtree: true,
      attributes: true,
      attributeFilter: ["data-map", "width"],
    });
    look();
  };
})();

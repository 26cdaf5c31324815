// How a picture is to count: turned by quarters, and the part on which a box is dragged, or moved by
// keys. The page turns it by itself, so that no answer has to bring it, perhaps over a later one.
(() => {
  const { touch, words, fill, isShortcut } = window.lookalikeCommon;
  let tell = null; // hands the box and the quarters on to the page
  let changed = null; // is called as soon as one of them is another one
  let came = null; // is called with the address of a picture that was not there
  let isShown = null; // whether the question is
  let showAnswer = null; // scrolls to what was found
  let toBox = false; // whether a box is what comes next, until the picture is there to be drawn on

  const picture = () => document.querySelector("#query .image-frame img");
  let box = null; // left, top, right, bottom as shares of the picture as it lies
  let quarters = 0; // by which it is turned clockwise
  let source = "";
  let telling = 0; // of a box that has just been set: while it moves on, the last one counts
  let isTold = true; // whether the page has been told how the picture is to count now

  // Where the picture itself lies: it is fitted into its frame, and leaves room beside it. A small
  // one is not enlarged.
  const area = () => {
    const image = picture();
    const frame = image.getBoundingClientRect();
    const sides = [image.naturalWidth, image.naturalHeight];
    if (quarters % 2) sides.reverse();
    const scale = Math.min(1, frame.width / sides[0], frame.height / sides[1]);
    const [width, height] = sides.map((side) => side * scale);
    const left = frame.left + (frame.width - width) / 2;
    return { left, top: frame.top + (frame.height - height) / 2, width, height };
  };

  const draw = () => {
    const layer = document.getElementById("lk-crop");
    if (!layer || !picture()?.naturalWidth) return;
    picture().dataset.quarters = quarters;
    const room = area();
    const frame = layer.parentElement.getBoundingClientRect();
    Object.assign(layer.style, {
      left: `${room.left - frame.left}px`,
      top: `${room.top - frame.top}px`,
      width: `${room.width}px`,
      height: `${room.height}px`,
    });
    layer.classList.toggle("lk-low", room.height < 60);
    layer.classList.toggle("lk-small", room.height < 60 || room.width < 120);
    const [shade, ways, begin, hint] = layer.children;
    const mark = shade.firstChild;
    shade.hidden = ways.hidden = !box;
    begin.hidden = hint.hidden = Boolean(box);
    if (box) layer.classList.remove("lk-asked");
    const { crop, cropDraw, cropKeys } = words();
    const byKey = layer.matches(":focus-visible");
    const said = (byKey ? cropKeys : layer.matches(".lk-asked") ? cropDraw : crop) ?? "";
    if (hint.textContent !== said) hint.textContent = said; // or it would be followed forever
    if (!box) return;
    const [left, top, right, bottom] = box;
    // Where there is more room, so that they lie on as little of the box as may be.
    ways.classList.toggle("lk-above", top > 1 - bottom);
    Object.assign(mark.style, {
      left: `${100 * left}%`,
      top: `${100 * top}%`,
      width: `${100 * (right - left)}%`,
      height: `${100 * (bottom - top)}%`,
    });
  };

  const setBox = (next, send) => {
    changed();
    isTold = false;
    box = next;
    draw();
    if (!send) return;
    clearTimeout(telling);
    telling = setTimeout(() => {
      isTold = true;
      tell(box, quarters);
    }, 200);
  };

  // For a picture that lies on its side, as from a scanner. The box stays on what it was drawn on.
  const turn = () => {
    quarters = (quarters + 1) % 4;
    setBox(box && [1 - box[3], box[0], 1 - box[1], box[2]], true);
  };

  // What is still to be told was about the picture before, or as it lay before.
  const hush = () => {
    clearTimeout(telling);
    isTold = true;
  };
  const show = (nextBox, nextQuarters) => {
    hush();
    box = nextBox;
    quarters = nextQuarters;
    draw();
  };

  const sayBox = () => {
    const [left, top, right, bottom] = box.map((share) => Math.round(100 * share));
    const at = { left, top, width: right - left, height: bottom - top };
    window.lookalikeSay(fill(words().cropBox ?? "", at));
  };

  // Who wants a part is told what to do, and a finger draws at once.
  const askForBox = (layer) => {
    if (!toBox) return;
    toBox = false;
    layer.classList.add("lk-asked");
    layer.focus({ preventScroll: true });
    layer.classList.toggle("lk-drawing", touch.matches);
  };

  const makeTurn = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = "lk-turn";
    button.title = words().turn ?? "";
    button.setAttribute("aria-label", button.title);
    button.innerHTML =
      '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M20 4v6h-6M19.5 10A8 8 0 1 0 20 14"/></svg>';
    button.addEventListener("click", turn);
    return button;
  };

  const addLayer = () => {
    const image = picture();
    const layer = document.getElementById("lk-crop");
    if (!image) {
      source = "";
      show(null, 0);
    }
    if (!image || !isShown()) {
      document.getElementById("lk-turn")?.remove();
      return layer?.remove();
    }
    if (image.src !== source) {
      source = image.src;
      show(null, 0);
      image.addEventListener("load", draw, { once: true });
      came(source);
    }
    if (layer) {
      askForBox(layer);
      return draw();
    }
    const fresh = document.createElement("div");
    fresh.id = "lk-crop";
    fresh.tabIndex = 0;
    fresh.setAttribute("role", "application"); // or a screen reader would keep the arrow keys
    fresh.setAttribute("aria-label", words().cropSpoken ?? "");
    const shade = document.createElement("div"); // around the box
    shade.className = "lk-shade";
    shade.append(document.createElement("i"));
    const make = (text, press, name = "") => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = name;
      button.textContent = text ?? "";
      button.addEventListener("pointerdown", (event) => event.stopPropagation());
      button.addEventListener("click", (event) => {
        event.stopPropagation();
        press();
      });
      return button;
    };
    const ways = document.createElement("div");
    ways.className = "lk-box-ways";
    ways.append(
      make(words().reset, () => setBox(null, true)),
      make(words().below, () => showAnswer(), "lk-below"),
    );
    // A finger scrolls the page, until it is told to draw; a mouse draws at once.
    const startDrawing = () => {
      fresh.classList.add("lk-drawing", "lk-asked");
      draw();
    };
    const begin = make(words().cropStart, startDrawing, "lk-begin");
    const hint = document.createElement("span");
    hint.setAttribute("aria-hidden", "true");
    fresh.append(shade, ways, begin, hint);
    for (const change of ["focus", "blur"]) fresh.addEventListener(change, draw);
    image.closest(".image-container").append(fresh, makeTurn());
    askForBox(fresh);

    let start = null;
    let before = null; // the box until then
    const at = (event) => {
      const room = fresh.getBoundingClientRect();
      const share = (value, from, size) => Math.min(1, Math.max(0, (value - from) / size));
      return [share(event.clientX, room.left, room.width), share(event.clientY, room.top, room.height)];
    };
    fresh.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" && !fresh.classList.contains("lk-drawing")) return;
      start = at(event);
      before = box;
      fresh.setPointerCapture(event.pointerId);
      event.preventDefault();
      fresh.focus({ preventScroll: true });
    });
    fresh.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = at(event);
      const [a, b] = start;
      setBox([Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)], false);
    });
    fresh.addEventListener("pointercancel", () => {
      if (start && box !== before) setBox(before, true);
      start = null;
    });
    fresh.addEventListener("pointerup", () => {
      if (!start) return;
      start = null;
      fresh.classList.remove("lk-drawing", "lk-asked");
      const small = !box || box[2] - box[0] < 0.05 || box[3] - box[1] < 0.05;
      if (small && !box) return;
      if (small) return setBox(null, true);
      setBox(box, true);
    });
    // By keyboard: Enter starts with the middle, arrows move it, with Shift they change its size.
    fresh.addEventListener("keydown", (event) => {
      if (isShortcut(event)) return;
      const by = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };
      const keep = (value) => Math.min(1, Math.max(0, value));
      if (event.key === "Enter" && event.target === fresh) {
        setBox([0.25, 0.25, 0.75, 0.75], true);
      } else if (event.key === "Escape" && box) {
        setBox(null, true);
      } else if (by[event.key] && box) {
        const [dx, dy] = by[event.key];
        const [left, top, right, bottom] = box;
        const moved = event.shiftKey
          ? [left, top, keep(Math.max(left + 0.1, right + dx)), keep(Math.max(top + 0.1, bottom + dy))]
          : [left + dx, top + dy, right + dx, bottom + dy];
        if (moved.every((share) => share >= -1e-9 && share <= 1 + 1e-9)) setBox(moved.map(keep), true);
      } else return;
      if (box) sayBox();
      event.preventDefault();
    });
    draw();
  };

  window.addEventListener("resize", draw);
  window.lookalikeCrop = {
    begin: (page) => ({ tell, changed, came, isShown, showAnswer } = page),
    look: addLayer,
    picture,
    hush,
    isTold: () => isTold,
    ask: (isAsked) => (toBox = isAsked),
    show,
  };
})();

// Pictures may be pasted or dropped anywhere on the page: hand them to the upload as if chosen there.
(() => {
  const input = () => document.querySelector("#query input[type=file]");

  const SUFFIXES = /\.(heic|heif|hif|avif|tiff?)$/i;

  // Many systems have no type for HEIC, and Gradio refuses what has none: give it one by its name.
  const typed = (file) => {
    const [, suffix] = file.name.match(SUFFIXES) ?? [];
    return file.type || !suffix ? file : new File([file], file.name, { type: `image/${suffix}` });
  };

  const give = async (file) => {
    // While the camera is on there is no field: go back to uploading, and wait for it.
    if (!input()) document.querySelector("#query button[aria-label='Upload file']")?.click();
    for (let tries = 0; tries < 40 && !input(); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    const field = input();
    if (!field) return;
    const transfer = new DataTransfer();
    transfer.items.add(typed(file));
    field.files = transfer.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    window.scrollTo({ top: 0, behavior: "smooth" });
  };

  // Where the system has no type for HEIC, "image/*" alone would hide iPhone photos in the dialog.
  document.addEventListener(
    "click",
    () => input()?.setAttribute("accept", "image/*,.heic,.heif,.hif,.avif,.tif,.tiff"),
    true,
  );

  const isPicture = (file) =>
    file.type.startsWith("image/") || SUFFIXES.test(file.name);

  document.addEventListener(
    "change",
    (event) => {
      const [file] = event.target.matches?.("#query input[type=file]") ? event.target.files : [];
      if (!file || typed(file) === file) return;
      event.stopImmediatePropagation();
      give(file);
    },
    true,
  );

  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
    if (!file) return;
    event.preventDefault();
    give(file);
  });

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (on) => document.documentElement.classList.toggle("lk-dragging", on);

  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  const onDrop = (event) => {
    mark(false);
    if (!carriesFiles(event)) return;
    // Also what falls on the upload itself: on its own it refuses HEIC that has no type.
    event.preventDefault();
    event.stopPropagation();
    const file = [...event.dataTransfer.files].find(isPicture);
    if (file) give(file);
  };
  document.addEventListener("drop", onDrop, true);
})();

"""What the search page and `page.js`, its script, tell each other."""

import re
from typing import Any

import gradio as gr

from retrieval.errors import LookalikeError
from retrieval.pages import words
from retrieval.pages.elements import inform, warn

# `page.js` listens for buttons everywhere on the page; this is its way to the handlers.
BRIDGE = """
window.lookalike = (what, data) => {
  if (what === 'pick') trigger('pick', data);
  if (what === 'more') trigger('more', data);
  if (what === 'less') trigger('less', data);
  if (what === 'look') trigger('look', data);
  if (what === 'why') trigger('why', data);
  if (what === 'copies') trigger('copies', data);
  if (what === 'remove') trigger('remove', data);
  if (what === 'back') trigger('back', data);
  if (what === 'crop') trigger('crop', data);
  if (what === 'visit') trigger('visit', data);
  if (what === 'again') trigger('again', data);
  if (what === 'odd') trigger('odd', data);
  if (what === 'refused') trigger('refused', data);
};
"""

# Follows an address that answers with a file to be kept.
DOWNLOAD = """
(address) => {
  const link = Object.assign(document.createElement('a'), {href: address, download: ''});
  document.body.append(link);
  link.click();
  link.remove();
}
"""

# Tells `page.js` that the controls stand as an answer has set them.
SETTLED = "() => window.lookalikeSettled?.()"
# Tells it that the answer to a box or a turn has come, or why there is none.
CROPPED = "() => window.lookalikeCropped?.()"
# What `page.js` tells of a request: its number among those of the page, and whether the controls
# are still to be set.
ACTION = re.compile(r"(\d{1,15})(; setting)?", re.ASCII)


def action_of(request: Any) -> tuple[int | None, bool]:
    """Return the number of what was done, None where the page has not told it.

    And whether the controls are still to be set, so that how they stand does not count.
    """
    told = getattr(request, "headers", {}).get("x-lookalike-action", "")
    number, setting = found.groups() if (found := ACTION.fullmatch(told)) else (None, None)
    return int(number) if number else None, bool(setting)


def comment_drop(event: gr.EventData) -> None:
    """Say what came of giving no picture, more than one, or one too soon."""
    if event.what == "several":
        inform(words.DROPPED_SEVERAL)
        return
    others = {
        "no file": words.DROPPED_NO_FILE,
        "no field": words.GIVEN_TOO_SOON,
        "nothing to paste": words.PASTED_NOTHING,
        "no pasting": words.PASTE_REFUSED,
        "no camera": words.NO_CAMERA,
        "camera refused": words.CAMERA_REFUSED,
    }
    warn(LookalikeError(others.get(str(event.what), words.DROPPED_NO_PICTURE)))


def tell_refusal(event: gr.EventData) -> None:
    """Say why there is no file: what the server has said, or that nothing came of a download."""
    warn(LookalikeError(str(event.told or words.DOWNLOAD_LOST)[:500]))

"""An upload that survives every picture: Gradio's own decodes before anybody can look at the file.

Gradio's `Image` decodes whatever arrives, in full and in its own way: 16-bit pictures turn white,
palettes become numbers, HEIC fails, a small file of enormous dimensions fills the memory, and a
damaged one shows a traceback. This one hands over the path of the file, unopened.
"""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio_client import handle_file

class QueryImage(gr.Image):
    """Gradio's image, except that the handler gets the path of the uploaded file, or None."""

    is_template = True  # the browser's part is that of gr.Image

    def preprocess(self, payload: ImageData | None) -> Path | None:  # type: ignore[override]
        """Return where Gradio has put the upload; it has checked that it lies in its folder."""
        if payload is None or not payload.path:
            return None
        return Path(payload.path)

    def example_payload(self) -> Any:
        """Show programs that a file is expected."""
        return handle_file("https://example.org/picture.jpg")
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

"""An upload that survives every picture: Gradio's own decodes before anybody can look at the file.

Gradio's `Image` decodes whatever arrives, in full and in its own way: 16-bit pictures turn white,
palettes become numbers, HEIC fails, a small file of enormous dimensions fills the memory, and a
damaged one shows a traceback. This one hands over what was sent unopened, and shows a picture
without a file on the server.
"""

import math
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio_client import handle_file
from pydantic import model_validator

from retrieval.pages import words
from retrieval.report import data_uri


class Sent(ImageData):
    """What the page says of an upload; all that counts is the name that the file got."""

    @model_validator(mode="before")
    @classmethod
    def only_its_name(cls, value: Any) -> Any:
        """Leave out the rest; what is no file at all becomes one without a name."""
        name = value.get("path") if isinstance(value, dict) else None
        return {"path": name if isinstance(name, str) else None}


class QueryImage(gr.Image):
    """Gradio's image, except that the handler gets the name of the upload, or its web address.

    `retrieval.pages.handover` finds the file of that name.
    """

    is_template = True  # the browser's part is that of gr.Image
    data_model = Sent

    def preprocess(self, payload: ImageData | None) -> str | None:
        """Return the name, or None when there is no upload."""
        return payload.path or None if payload else None

    def postprocess(self, value: bytes | None) -> Any:  # type: ignore[override]
        """Show a JPEG, inside of the answer itself."""
        return {"path": "", "url": data_uri(value, "image/jpeg")} if value else None

    def example_payload(self) -> Any:
        """Show programs that a file is expected."""
        return handle_file("https://example.org/picture.jpg")


class Count(gr.Number):
    """Gradio's number, except that a program that sends none is told so."""

    is_template = True  # the browser's part is that of gr.Number

    def preprocess(self, payload: Any) -> int:
        """Return the number.

        Raises:
            gr.Error: when it is none.
        """
        if isinstance(payload, bool) or not isinstance(payload, int | float):
            raise gr.Error(words.NO_NUMBER, duration=None, print_exception=False)
        if not math.isfinite(payload):
            raise gr.Error(words.NO_NUMBER, duration=None, print_exception=False)
        return int(payload)

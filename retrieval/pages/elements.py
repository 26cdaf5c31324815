"""Elements of Gradio that several pages use."""

from html import escape

import gradio as gr

from retrieval.errors import LookalikeError


def make_place(name: str, js: str | None = None, value: str = "") -> gr.HTML:
    """Make a place for our own markup, with a script that Gradio runs when it is there."""
    return gr.HTML(value, elem_id=name, js_on_load=js, apply_default_css=False)


def warn(error: LookalikeError) -> None:
    """Show a sentence in a corner of the page; it may quote a file's name, and a toast is HTML."""
    gr.Warning(escape(str(error)))

"""Elements of Gradio that several pages use."""

from html import escape

import gradio as gr

from retrieval.errors import LookalikeError
from retrieval.workspace import Workspace


def make_place(name: str, js: str | None = None, value: str = "") -> gr.HTML:
    """Make a place for our own markup, with a script that Gradio runs when it is there."""
    return gr.HTML(value, elem_id=name, js_on_load=js, apply_default_css=False)


def warn(error: LookalikeError) -> None:
    """Show a sentence in a corner of the page; it may quote a file's name, and a toast is HTML."""
    gr.Warning(escape(str(error)))


def offer_collections(
    workspace: Workspace, choice: str | None, visitor: str
) -> tuple[gr.Dropdown, str | None]:
    """Return the choice of one of the collections that a visitor sees, and what is chosen.

    That is the first one where `choice` is none of them, and None where there are none.
    """
    keys = workspace.keys(visitor)
    names = [(workspace.searcher(key, visitor).collection.name, key) for key in keys]
    chosen = choice if choice in keys else (keys[0] if keys else None)
    return gr.Dropdown(names, value=chosen, visible=len(names) > 1), chosen

"""Uploads to Gradio's route: what form they have, and how much of them is kept."""

import asyncio
from typing import Any

import pytest
from gradio import routes
from starlette.formparsers import MultiPartException

from retrieval import settings
from retrieval.pages import words
from retrieval.pages.receiving import FORM, MAX_PROGRESS, Arriving


def test_all_uploads_together_are_bounded_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TEMPORARY_BYTES", 250)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(100), "more_body": True}

    async def come() -> None:
        arriving = Arriving()
        with arriving.counted(receive, 1_000) as one:
            await one()
            with arriving.counted(receive, 1_000) as another:
                await another()
                with pytest.raises(MultiPartException, match="Too many pictures"):
                    await another()
            await one()  # the other has made room
            with pytest.raises(MultiPartException, match="Too many pictures"):
                await one()
        with arriving.counted(receive, 150) as large:
            await large()
            with pytest.raises(MultiPartException, match=words.LARGE_REQUEST):
                await large()

    asyncio.run(come())


def test_how_far_uploads_are_is_forgotten_after_so_many_others() -> None:
    arriving = Arriving()
    progress = routes.file_upload_statuses
    for number in range(MAX_PROGRESS + 5):
        name = f"upload-{number}"
        progress.track(name)  # as Gradio does
        arriving.note_progress(name)
    known = [name for name in progress._statuses if name.startswith("upload-")]
    assert len(known) == MAX_PROGRESS
    assert "upload-0" not in progress._signals
    for name in known:
        progress.stop_tracking(name)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("multipart/form-data; boundary=----WebKitFormBoundaryAbc123", True),
        ("multipart/form-data; boundary=---------------------------123", True),
        ("multipart/form-data;boundary=0123456789abcdef", True),
        ('multipart/form-data; boundary="a b"', True),
        ("multipart/form-data; boundary=x; charset=punycode", False),
        ("multipart/form-data; charset=punycode; boundary=x", False),
        ("multipart/form-data; boundary=", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_form_names_its_boundary_and_no_character_set(kind: str, taken: bool) -> None:
    assert bool(FORM.fullmatch(kind)) is taken

"""The search page as its handlers answer a browser: what it offers, and what it makes of links."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.made import by_hue, encode, save_hues
from tests.serving import Served, serving
from tests.visitor import Visitor


@pytest.fixture(scope="module")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app of an owner with one collection."""
    home = tmp_path_factory.mktemp("home")
    pictures = save_hues(home / "wheel", {"warm/red.png": 0, "warm/gold.png": 50})
    with serving(tiny_model, pictures, home, public=False) as served:
        yield served


def answer(visitor: Visitor, name: str, event: Any = None, **given: Any) -> dict[str, Any]:
    """Return what an event sets, by `elem_id` or label: the properties, or the value alone."""
    said = visitor.outcome(name, visitor.filled(name, **given), event)
    assert said["success"], said
    components = {c["id"]: c["props"] for c in visitor.config["components"]}
    dependency = next(d for d in visitor.config["dependencies"] if d["api_name"] == name)
    named = [
        components[id_].get("elem_id") or components[id_].get("label")
        for id_ in dependency["outputs"]
    ]
    return dict(zip(named, said["output"]["data"], strict=True))


def add(visitor: Visitor, *files: str) -> str:
    """Make a collection of pictures of one colour, and return its key."""
    before = keys(visitor)
    visitor.add_pictures({name: encode(by_hue(120), "PNG") for name in files})
    (key,) = keys(visitor) - before
    visitor.finish(key)
    return key


def keys(visitor: Visitor) -> set[str]:
    return {key for _, key in answer(visitor, "on_load")["collection"]["choices"]} - {""}


def kinds(set_: dict[str, Any]) -> list[str]:
    return [value for _, value in set_["Kind"]["choices"]]


def test_the_kinds_are_those_of_what_is_searched_also_of_pictures_that_came_later(
    visitor: Visitor,
) -> None:
    assert kinds(answer(visitor, "on_load")) == ["", "warm"]
    key = add(visitor, "Leaves/green/a.png", "Leaves/pale/b.png")
    assert kinds(answer(visitor, "on_return")) == ["", "green", "pale", "warm"]
    assert kinds(answer(visitor, "on_choice", collection=key)) == ["", "green", "pale"]


def test_a_link_to_a_collection_of_somebody_else_leaves_a_page_that_works(visitor: Visitor) -> None:
    add(visitor, "Grass/a.png", "Grass/b.png")  # or there would be nothing to choose
    answer(visitor, "on_load")
    shown = answer(visitor, "on_visit", {"query": "?in=gone&n=30&label=blue"})
    assert shown["collection"]["value"] == ""
    assert shown["Kind"]["value"] == "blue"  # what is filtered by can be seen, and be undone
    # Nor does a page get stuck that still holds what has gone meanwhile.
    answer(visitor, "on_choice", collection="gone", count=30)

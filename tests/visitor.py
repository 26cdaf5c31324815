"""A visitor without a browser: cookies, uploads and events over HTTP, as the page sends them."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

SECONDS = 60
JSON = {"content-type": "application/json"}


class Visitor:
    """One browser as the server sees it."""

    def __init__(self, address: str, session: str | None = None) -> None:
        """Open the page at `address`; `session` is what the page calls itself."""
        self.session = session or secrets.token_hex(6)
        # A connection for each request: one that is kept may be closed just as it is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        # Without encryption: to read all the certificates there are takes longer than the page.
        self.http = httpx.Client(base_url=address, timeout=SECONDS, limits=limits, verify=False)
        self.page = self.http.get("/")
        self.config: dict[str, Any] = self.http.get("/config").json()

    def close(self) -> None:
        """Leave."""
        self.http.close()

    def send(self, data: bytes, name: str = "photo.png", kind: str = "image/png") -> dict[str, Any]:
        """Upload a picture to be searched with; return what the page would then say of it."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, data, kind)})
        answer.raise_for_status()
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def join(self, name: str, data: list[Any], event: Any = None) -> httpx.Response:
        """Ask for an event of the page by the name of its handler."""
        return self._join(self.number(name), data, event)

    def _join(self, number: int, data: list[Any], event: Any) -> httpx.Response:
        asked = {
            "data": data,
            "event_data": event,
            "fn_index": number,
            "session_hash": self.session,
        }
        # As Python writes it, so that a test may send what is no number, too.
        return self.http.post("/gradio_api/queue/join", content=json.dumps(asked), headers=JSON)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the server says to this page until it has said all."""
        with self.http.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as lines:
            for line in lines.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    yield message
                    if message["msg"] in ("close_stream", "unexpected_error"):
                        return

    def ask(self, name: str, data: list[Any], event: Any = None) -> list[dict[str, Any]]:
        """Do what a click does, and return all that is said about it."""
        self.join(name, data, event).raise_for_status()
        return list(self.messages())

    def ask_number(self, number: int, data: list[Any], event: Any = None) -> list[Any]:
        """Do the same by the number of an event; its refusal is an answer as well."""
        answer = self._join(number, data, event)
        if answer.status_code != 200:
            return [answer.json()]
        return list(self.messages())

    def outcome(self, name: str, data: list[Any], event: Any = None) -> dict[str, Any]:
        """Return the last word about an event: `success`, and `output` with `data` or `error`."""
        said = self.ask(name, data, event)
        return next(message for message in said if message["msg"] == "process_completed")

    def search(self, picture: Any, count: Any = 5, collection: Any = "") -> dict[str, Any]:
        """Search by the named endpoint."""
        return self.outcome("search", [picture, count, collection])

    def number(self, name: str) -> int:
        """Return by which number the page knows a handler."""
        return next(d["id"] for d in self.config["dependencies"] if d["api_name"] == name)

    def changing(self, label: str) -> str:
        """Return the handler of what searches anew when the control with this label changes."""
        controls = {c["id"] for c in self.config["components"] if c["props"].get("label") == label}
        return next(
            str(d["api_name"])
            for d in self.config["dependencies"]
            if controls & {target for target, _ in d["targets"]}
        )

    def event(self, name: str) -> str:
        """Return the handler of an event that only one thing on the page has."""
        return next(
            str(d["api_name"])
            for d in self.config["dependencies"]
            if name in {event for _, event in d["targets"]}
        )

    def filled(self, name: str, **given: Any) -> list[Any]:
        """Return what the page sends with an event: what stands in its controls.

        Args:
            given: what else stands in those that have such an `elem_id`, or such a label.
        """
        components = {c["id"]: c["props"] for c in self.config["components"]}
        dependency = next(d for d in self.config["dependencies"] if d["api_name"] == name)
        props = [components[id_] for id_ in dependency["inputs"]]
        named = [str(prop.get("elem_id") or prop.get("label") or "") for prop in props]
        assert set(given) <= set(named)
        return [given.get(elem, prop.get("value")) for elem, prop in zip(named, props, strict=True)]

    def add_pictures(self, files: dict[str, bytes], key: str = "") -> dict[str, Any]:
        """Make a collection of files, or add them to that of `key`; return the last word."""
        said = self.hand_over(files, key)
        return next(message for message in said if message["msg"] == "process_completed")

    def hand_over(self, files: dict[str, bytes], key: str = "") -> list[dict[str, Any]]:
        """Hand files over on the tab "My pictures", and return all that is said about it."""
        headers = {"x-lookalike": "1"}
        total = {"files": len(files), "bytes": sum(map(len, files.values()))}
        begun = self.http.post("/uploads", json=total, headers=headers)
        begun.raise_for_status()
        upload = begun.json()["upload"]
        for name, data in files.items():
            headers["x-name"] = quote(name)
            self.http.post(f"/uploads/{upload}", content=data, headers=headers).raise_for_status()
        return self.ask("on_upload_1", [None], {"upload": upload, "key": key})

    def worked_out(self, place: str) -> httpx.Response:
        """Fetch what a busy server may have to work out first, as who is told to come back does."""
        end = time.monotonic() + SECONDS
        while (answer := self.http.get(place)).status_code == 404 and time.monotonic() < end:
            time.sleep(0.1)
        return answer

    def finish(self, key: str) -> str:
        """Wait until a collection is built, and return its card."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            data = self.outcome("on_return_1", [None])["output"]["data"]
            if not data[2]["active"]:
                return str(data[0])
            time.sleep(0.1)
        raise TimeoutError(key)


def strings_of(value: Any) -> Iterator[str]:
    """Yield every text in an answer, the names of its fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item)

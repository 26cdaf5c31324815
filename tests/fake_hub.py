"""As much of Hugging Face's Hub as `publish` speaks to, on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_right"
LARGE = 10 * 10**6


@dataclass
class Space:
    """A repository: what it holds, and who sees it."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)  # paths that came by LFS


@dataclass
class Hub:
    """The state of the Hub, and what it is to answer where a test wants a refusal."""

    address: str = ""
    role: str = "write"
    spaces: dict[str, Space] = field(default_factory=dict)
    storage: dict[str, bytes] = field(default_factory=dict)  # by SHA-256
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)  # by part of the address
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and answer of a request."""
        for part, refusal in self.refusals.items():
            if part in path:
                return refusal[0], {"error": refusal[1]}
        match [method, *path.strip("/").split("/")]:
            case ["GET", "api", "whoami-v2"]:
                token = {"role": self.role}
                return 200, {
                    "name": "ada",
                    "orgs": [{"name": "lab"}],
                    "auth": {"accessToken": token},
                }
            case ["POST", "api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["POST", "api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["PUT", "storage", sha256]:
                self.storage[sha256] = body
                return 200, {}
            case ["POST", "spaces", _, _, "info", "lfs", "objects", "batch"]:
                return 200, {"objects": [self._place(one) for one in json.loads(body)["objects"]]}
            case [_, "api", "spaces", user, name, *rest]:
                space = self.spaces.get(f"{user}/{name}")
                if space is not None:
                    return self._of_space(f"{user}/{name}", space, method, rest, body)
        return 404, {"error": "Repository not found"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.created.append(asked)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.spaces:
            return 409, {"error": "You already created this space repo"}
        private = asked.get("visibility") == "private"
        self.spaces[name] = Space(private, {".gitattributes": b""})
        return 200, {"url": f"{self.address}/spaces/{name}"}

    def _place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        href = f"{self.address}/storage/{wanted['oid']}"
        return {**wanted, "actions": {"upload": {"href": href}}}

    def _of_space(
        self, name: str, space: Space, method: str, rest: list[str], body: bytes
    ) -> tuple[int, Any]:
        match rest:
            case []:
                siblings = [{"rfilename": path} for path in space.files]
                return 200, {"id": name, "private": space.private, "siblings": siblings}
            case ["settings"]:
                space.private = json.loads(body)["visibility"] == "private"
                return 200, {}
            case ["tree", "main"]:
                rows = [
                    {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
                    for path, data in space.files.items()
                ]
                return 200, rows
            case ["preupload", "main"]:
                files = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["size"] > LARGE else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for one in json.loads(body)["files"]
                ]
                return 200, {"files": files}
            case ["commit", "main"]:
                return self._commit(name, space, body)
        return 404, {"error": f"{method} {rest}"}

    def _commit(self, name: str, space: Space, body: bytes) -> tuple[int, Any]:
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                space.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                space.files[value["path"]] = self.storage[value["oid"]]
                space.large.add(value["path"])
            elif entry["key"] == "deletedFile":
                del space.files[value["path"]]
        url = f"{self.address}/spaces/{name}/commit/{'1' * 40}"
        return 200, {"commitUrl": url, "commitOid": "1" * 40, "pullRequestUrl": None}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run an empty Hub at which ada is at home."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self._body()
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {path}")
            known = self.headers.get("authorization") == f"Bearer {TOKEN}"
            if known or path.startswith("/storage"):
                status, found = hub.answer(self.command, path, body)
            else:
                status, found = 401, {"error": "Invalid user token"}
            data = json.dumps(found).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = handle_any

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

"""Small server on this machine that answers as the Hugging Face hub does, for models in folders."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories of the server, and the requests that it has seen.

    Args:
        repositories: folder by name of the repository.
        private: repositories that need the token ``secret``.
    """

    def __init__(self, repositories: dict[str, Path], private: tuple[str, ...] = ()) -> None:
        self.repositories, self.private = repositories, private
        self.requests: list[str] = []
        self.created: dict[str, bool] = {}
        self.url = ""

    def downloaded(self) -> set[str]:
        """Names of the files whose content was sent."""
        marks = [line.split("/resolve/")[1] for line in self.requests
                 if line.startswith("GET ") and "/resolve/" in line]  # fmt: skip
        return {mark.partition("/")[2] for mark in marks}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Context in which the server runs; `Hub.url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0]).strip("/")
            hub.requests.append(f"{self.command} /{path}")
            parts = path.split("/")
            if parts[:2] == ["api", "models"]:
                self._api("/".join(parts[2:4]), parts[4:])
            elif len(parts) > 4 and parts[2] == "resolve":
                self._file("/".join(parts[:2]), "/".join(parts[4:]))
            else:
                self._error(404, "EntryNotFound")

        def do_POST(self) -> None:
            path = unquote(self.path.partition("?")[0]).strip("/")
            hub.requests.append(f"POST /{path}")
            body = self._body()
            if self.headers.get("Authorization") != "Bearer secret":
                self._error(401, "Unauthorized")
            elif path == "api/repos/create":
                wanted = json.loads(body)
                name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
                hub.created[name] = wanted.get("visibility") == "private" or bool(
                    wanted.get("private")  # of earlier clients
                )
                self._json({"url": f"{hub.url}/{name}", "id": name, "name": name})
            elif "/preupload/" in path:
                files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                         for each in json.loads(body)["files"]]  # fmt: skip
                self._json({"files": files})
            elif "/commit/" in path:
                name = "/".join(path.split("/")[2:4])
                self._commit(hub.repositories[name], body)
                url = f"{hub.url}/{name}/commit/{COMMIT}"
                self._json({"commitUrl": url, "commitOid": COMMIT})
            else:
                self._json({})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content

        def _commit(self, folder: Path, body: bytes) -> None:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    path = folder / line["value"]["path"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(base64.b64decode(line["value"]["content"]))

        def _folder(self, name: str) -> Path | None:
            if name in hub.private and self.headers.get("Authorization") != "Bearer secret":
                self._error(401, "RepoNotFound")
                return None
            if name not in hub.repositories:
                self._error(404, "RepoNotFound")
                return None
            return hub.repositories[name]

        def _api(self, name: str, rest: list[str]) -> None:
            folder = self._folder(name)
            if folder is None:
                return
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            names = [path.relative_to(folder).as_posix() for path in files]
            if len(rest) > 1 and rest[1] not in ("main", "v1", COMMIT):
                self._error(404, "RevisionNotFound")
            elif rest and rest[0] == "tree":
                rows = [
                    {"type": "file", "path": n, "size": p.stat().st_size, "oid": _digest(p)[:40]}
                    for n, p in zip(names, files, strict=True)
                ]
                self._json(rows)
            else:
                siblings = [{"rfilename": each} for each in names]
                self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings,
                            "private": False, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

        def _file(self, name: str, file: str) -> None:
            folder = self._folder(name)
            if folder is None:
                return
            path = folder / file
            if not path.is_file():
                self._error(404, "EntryNotFound")
                return
            content = path.read_bytes()
            self._send(200, content, {"ETag": f'"{_digest(path)}"'})

        def _json(self, content: object) -> None:
            self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def _error(self, status: int, code: str) -> None:
            self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "X-Repo-Commit": COMMIT}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

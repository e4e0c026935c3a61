"""Guard in front of the page: limits requests, and keeps the server and browsers off other hosts.

gradio fetches addresses that a client names, both as ``/file=ADDRESS`` and as the path of a file in
the data of a request. Both are refused here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .limits import MIB

__all__ = ["LOOPBACK", "Guard"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""

BODY = MIB
"""Bytes of a request that is not an upload."""

SLACK = 64 * 1024
"""Bytes that a form adds to an uploaded file."""

POLICY = (
    # gradio compiles the scripts of HTML components, hence unsafe-eval
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """ASGI middleware of the page.

    Args:
        app: application behind it.
        upload: bytes of an uploaded file.
        host: address that the server listens on. On a loopback address, requests for another host
            name are refused, because a foreign page may have bound its name to this machine.
        report: callback for exceptions of the application.
    """

    def __init__(
        self, app: Any, upload: int, host: str, report: Callable[[Exception], None]
    ) -> None:
        self.app, self.upload, self.host, self.report = app, upload, host, report

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        path = scope["path"]
        if not self._knows_host(headers.get(b"host", b"").decode("latin-1")):
            await _refuse(send, 421, "This page is reached by its own address only.")
            return
        if "/proxy=" in path or ("/file=" in path and ":" in path.partition("/file=")[2][:12]):
            await _refuse(send, 403, "Other hosts cannot be reached through this page.")
            return
        is_upload = path.endswith("/upload")
        most = self.upload + SLACK if is_upload else BODY
        if int(headers.get(b"content-length", b"0") or 0) > most:
            await _refuse(send, 413, f"The request exceeds {most / MIB:.0f} MiB.")
            return
        if scope["method"] == "POST" and not is_upload:
            body = await _body(receive, most)
            if body is None or names_address(body):
                await _refuse(send, 400, "The request is too large, or names another host.")
                return
            receive = _replayed(body, receive)
        try:
            await self.app(scope, receive, _with_headers(send))
        except Exception as error:
            self.report(error)
            raise

    def _knows_host(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return self.host not in LOOPBACK or name.strip("[]") in LOOPBACK


def names_address(body: bytes) -> bool:
    """True if JSON data contain a file whose path is an address."""
    try:
        left = [json.loads(body)]
    except (ValueError, RecursionError):
        return False  # gradio refuses it
    while left:
        value = left.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and "://" in path:
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


async def _body(receive: Receive, most: int) -> bytes | None:
    """Body of a request; None if it is too long, or its sender is gone."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    left = [body]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

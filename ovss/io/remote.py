"""Images from the web and from streams: bounded in size and time."""

from __future__ import annotations

import http.client
import io
import sys
import time
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import quote, urlsplit, urlunsplit

from .names import ImageError

__all__ = ["MAX_BYTES", "UnreachableError", "download", "read_stdin", "read_stream"]

MAX_BYTES = 256 << 20
"""Largest number of bytes read from an address or a stream."""

SECONDS = 120
"""Longest time that one address may take."""

_BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers of servers that may be other ones a moment later."""

_SECONDS_SILENT = 20  # a server that sends nothing for so long is given up
_CHUNK = 1 << 16
_SCHEMES = ("http", "https")
_SAFE = "/%:=&?~#+!$,;'@()*[]"


class UnreachableError(ImageError):
    """Server that cannot be reached or is busy, so that another try may succeed."""


def download(url: str, *, max_bytes: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """Downloads the content of an http or https address.

    Args:
        url: address; spaces and letters outside ASCII are quoted.
        max_bytes: largest size that is read.
        seconds: longest time for the download.

    Raises:
        ImageError: the scheme is not http or https, the server cannot be reached or answers with
            an error or a web page, or a limit is exceeded. The message does not name the address.
            It is an UnreachableError if another try may succeed.
    """
    deadline = time.monotonic() + seconds
    request = urllib.request.Request(
        _ascii(url), headers={"User-Agent": "ovss", "Accept": "image/*, */*;q=0.5"}
    )
    try:
        with _opener().open(request, timeout=min(seconds, _SECONDS_SILENT)) as answer:
            if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
                raise ImageError(
                    "the address leads to a web page; expected an image file. Open the page and "
                    "copy the address of the image itself"
                )
            size = answer.headers.get("Content-Length", "")
            if size.isdecimal() and int(size) > max_bytes:
                raise _too_large(max_bytes, int(size))
            data = _read_until(answer, max_bytes, deadline)
            if size.isdecimal() and len(data) < int(size):
                raise UnreachableError(
                    f"the connection ended after {len(data):,} of {int(size):,} bytes. Try again"
                )
            return data
    except urllib.error.HTTPError as error:
        error.close()
        kind = UnreachableError if error.code in _BUSY else ImageError
        raise kind(f"the server answered {error.code} ({error.reason})") from None
    except urllib.error.URLError as error:
        raise UnreachableError(f"cannot be downloaded ({_reason(error.reason)})") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"cannot be downloaded ({_reason(error)})") from None


def read_stream(stream: Any, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a binary file object from its position to its end.

    Raises:
        ImageError: the stream gives text or nothing, or more than `max_bytes`.
    """
    data = _read_all(stream, max_bytes)
    if not data and _position(stream):
        raise ImageError("the file object is at its end. Call seek(0) before passing it")
    return data


def _read_all(stream: Any, max_bytes: int) -> bytes:
    data = bytearray()
    while chunk := stream.read(_CHUNK):  # a raw stream may give less than it is asked for
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise ImageError(
                f"the file object gives {type(chunk).__name__}; expected bytes. Open the file in "
                "binary mode"
            )
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(data)


def read_stdin() -> bytes:
    """Reads the standard input, which can be read once.

    Raises:
        ImageError: the standard input is a terminal, is closed, or exceeds `MAX_BYTES`.
    """
    stream = sys.stdin
    if stream is None or stream.closed:
        raise ImageError("closed; expected the bytes of an image")
    if stream.isatty():
        raise ImageError("a terminal; expected the bytes of an image. Send it through a pipe")
    data = _read_all(getattr(stream, "buffer", stream), MAX_BYTES)
    if not data:
        raise ImageError("empty, or read before; expected the bytes of an image")
    return data


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to http and https addresses only."""

    max_redirections = 5
    max_repeats = 2

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        return super().redirect_request(req, fp, code, msg, headers, _ascii(newurl))


def _opener() -> urllib.request.OpenerDirector:
    """Opener without the handlers of other schemes: the default one also reads local files."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _ascii(url: str) -> str:
    """Address as ASCII; refuses schemes other than http and https."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ImageError(f"not a valid address ({error})") from None
    if parts.scheme.lower() not in _SCHEMES:
        raise ImageError(f"the scheme {parts.scheme}:// is not supported; expected http or https")
    if parts.username or parts.password:
        raise ImageError("addresses with a user name or password are not supported")
    if not host:
        raise ImageError("not a valid address (it has no host)")
    host = f"[{host}]" if ":" in host else host
    path, query = (quote(part, safe=_SAFE) for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme.lower(), host + port, path, query, ""))


def _read_until(answer: IO[bytes], max_bytes: int, deadline: float) -> bytes:
    data = io.BytesIO()
    while chunk := answer.read1(_CHUNK):  # type: ignore[attr-defined]
        data.write(chunk)
        if data.tell() > max_bytes:
            raise _too_large(max_bytes)
        if time.monotonic() > deadline:
            raise ImageError(
                f"the download was stopped at its time limit, after {data.tell():,} bytes"
            )
    return data.getvalue()


def _too_large(max_bytes: int, size: int | None = None) -> ImageError:
    found = f"found {size:,}" if size else "found more"
    return ImageError(
        f"too large: expected at most {max_bytes:,} bytes, {found}. Save it as a file and give its "
        "path"
    )


def _position(stream: Any) -> int:
    try:
        return stream.tell()
    except (OSError, AttributeError, ValueError):
        return 0


def _reason(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "the server does not answer"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__

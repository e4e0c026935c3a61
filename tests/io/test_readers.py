"""Images from bytes, streams and addresses, and the limits on them."""

from __future__ import annotations

import io
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from ovss.io import remote
from ovss.io.advice import advice_of
from ovss.io.images import ImageError, read_image, to_rgb
from ovss.io.tiles import LazyImage

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    return stream.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serves an image, and everything else that a server may answer."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path[4:] if path != "/to/loop" else "/to/loop")
            self.end_headers()
            return
        if path == "/absent.png":
            self.send_error(404)
            return
        html = path == "/page"
        content = b"<!doctype html><html></html>" if html or path == "/hidden" else png()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if html else "image/png")
        if path == "/cut":
            self.send_header("Content-Length", str(len(content) + 5))
        self.end_headers()
        for byte in range(len(content)) if path == "/slow" else ():
            self.wfile.write(content[byte : byte + 1])
            time.sleep(0.05)
        if path != "/slow":
            self.wfile.write(content * (4000 if path == "/endless" else 1))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.handle_error = lambda *_: None  # clients that stop reading are part of the tests
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_addresses(server):
    for path in ("/a.png", "/a.png?size=2", "/caf\xe9 image.png", "/to//a.png"):
        assert (read_image(server + path) == PIXELS).all(), path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent.png", "the server answered 404"),
        ("/page", "a web page; expected an image"),
        ("/hidden", r"a web page \(HTML\)"),
        ("/to/loop", "the server answered 302"),
        ("/to/file:///etc/hosts", "the server answered 302.*not allowed"),
        ("/to/ftp://host/a.png", "ftp:// is not supported; expected http or https"),
        ("/cut", "connection ended|IncompleteRead"),
    ],
)
def test_answers_that_are_no_image(server, path, message):
    with pytest.raises(ImageError, match=message) as caught:
        to_rgb(server + path)
    assert str(caught.value).startswith(server + path.split("?")[0])


def test_downloads_are_bounded(server):
    with pytest.raises(ImageError, match="expected at most 9,999 bytes"):
        remote.download(server + "/endless", max_bytes=9999)
    with pytest.raises(ImageError, match=r"stopped at its time limit|does not answer"):
        remote.download(server + "/slow", seconds=0.3)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/hosts", "expected http or https"),
        ("ftp://host/a.png", "expected http or https"),
        ("http://", "no host"),
        ("http://a:b@host/x.png", "user name or password"),
        ("http://127.0.0.1:1/x.png", "cannot be downloaded"),
        ("http://[::1/x.png", "not a valid address"),
    ],
)
def test_addresses_that_are_refused(url, message):
    with pytest.raises(ImageError, match=message):
        read_image(url)


def test_bytes_and_streams(monkeypatch, tmp_path):
    data = png()
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert (to_rgb(source) == PIXELS).all()
    with open(tmp_path / "a.png", "rb") as file:
        assert (to_rgb(file) == PIXELS).all()
        with pytest.raises(ImageError, match=r"a\.png: the file object is at its end"):
            to_rgb(file)
    with (
        open(tmp_path / "a.png", encoding="latin-1") as text,
        pytest.raises(ImageError, match="gives str; expected bytes"),
    ):
        to_rgb(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert (read_image("-") == PIXELS).all()
    with pytest.raises(ImageError, match="standard input: empty"):
        read_image("-")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; expected an image"),
        (b"<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"words", "not an image that Pillow can read"),
    ],
)
def test_other_content_is_named(content, message):
    with pytest.raises(ImageError, match=message):
        read_image(content)


def test_images_above_the_limit_are_read_on_request(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ImageError, match="8 x 6 pixels; expected at most 40") as caught:
        read_image(png())
    assert advice_of(caught.value).topics == ("large",)
    assert (read_image(png(), large=True) == PIXELS).all()
    assert (to_rgb(png(), large=True) == PIXELS).all()
    assert (LazyImage(png()).crop(0, 6, 0, 8) == PIXELS).all()
    assert Image.MAX_IMAGE_PIXELS == 20

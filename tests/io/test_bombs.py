"""Small files that unpack to much, special files, and impossible names."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from ovss.io.advice import advice_of
from ovss.io.decoding import MAX_PIXELS
from ovss.io.images import ImageError, read_image
from ovss.io.sources import find_sources
from ovss.io.tiles import LazyImage


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """PNG that states a size; its rows are missing unless it is tiny."""
    rows = zlib.compress(b"\0" * (1 + width) * height if width * height < 100 else b"")
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(13_000, 13_000), (10_001, 10_000), (1, MAX_PIXELS + 1)])
def test_more_than_100_megapixels_are_refused_by_the_header(size):
    for read in (read_image, lambda data: LazyImage(data, large=False)):
        with pytest.raises(ImageError, match="expected at most 100,000,000") as caught:
            read(png(*size))
        assert advice_of(caught.value).topics == ("large",)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_empty_image_is_refused(size):
    with pytest.raises(ImageError):
        read_image(png(*size))


def test_an_image_of_one_pixel():
    assert read_image(png(1, 1)).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("kind", "start"),
    [(b"zTXt", b"key\0\0"), (b"iTXt", b"key\0\1\0\0\0"), (b"iCCP", b"profile\0\0")],
)
def test_compressed_chunks_do_not_unpack_without_end(kind, start):
    bomb = chunk(kind, start + zlib.compress(b"\0" * (64 << 20)))
    peaks = []
    for data in (png(2, 2), png(2, 2, bomb)):
        tracemalloc.start()
        with suppress(ImageError):  # Pillow refuses some chunks and leaves out others
            read_image(data)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 8 << 20, "of the 64 MiB that the chunk holds"


@pytest.mark.parametrize("kind", ["gif", "tiff"])
def test_of_many_frames_one_is_decoded(kind, monkeypatch):
    frames = [Image.fromarray(np.full((4, 4), i, np.uint8)) for i in range(60)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    assert read_image(file.getvalue())[0, 0].tolist() == [0, 0, 0]


def test_pipes_are_refused_unless_the_shell_made_them(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "one.png").write_bytes(png(2, 2))
    assert len(find_sources([tmp_path]).sources) == 2, "listing a folder waits for nobody"
    with pytest.raises(ImageError, match=r"pipe.png: a named pipe; expected an image file"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a device; expected an image file"):
        read_image("/dev/zero")
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, png(2, 2)), os.close(writer)))
    thread.start()
    assert read_image(f"/dev/fd/{reader}").shape == (2, 2, 3)
    thread.join()
    os.close(reader)


def test_a_nul_character_in_a_path_is_named():
    with pytest.raises(ImageError, match=r"a\\x00b.png: a path cannot hold a NUL character"):
        find_sources(["a\0b.png"])

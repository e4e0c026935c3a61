"""Image files: every format, every mode, and damage of every kind."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from .cases import ACCEPTED, EITHER, REFUSED, Box, Call, Group
from .material import SEGMENT
from .odd import damaged

IMAGES = Group("images", weight=3)

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF", "ICO", "PCX",
    "SGI", "DDS", "IM", "XBM", "DIB", "MSP", "SPIDER", "BLP", "ICNS", "QOI", "PDF", "EPS",
)  # fmt: skip


def image_of(mode: str, width: int = 6, height: int = 5, seed: int = 0) -> Image.Image:
    """Image of noise in a mode of Pillow."""
    rng = np.random.default_rng(seed)
    if mode in ("I;16", "I"):
        values = rng.integers(0, 60_000, (height, width))
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "F":
        return Image.fromarray(rng.random((height, width), np.float32))
    rgb = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    if mode == "LAB":
        return Image.frombytes("LAB", rgb.size, rgb.tobytes())
    return rgb.convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Bytes of an image file; empty if Pillow cannot write this mode in this format."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (OSError, KeyError, ValueError, TypeError, SystemError):
        return b""
    return buffer.getvalue()


def call(box: Box, name: str, content: bytes, statuses: frozenset[int] = EITHER) -> Call:
    """Segments one file."""
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    box.write(name, content)
    return Call(("segment", name, *SEGMENT), statuses, (name,))


def chunk(kind: bytes, data: bytes, length: int | None = None, check: int | None = None) -> bytes:
    """Chunk of a PNG, with a wrong length or checksum on request."""
    size = len(data) if length is None else length
    crc = zlib.crc32(kind + data) if check is None else check
    return struct.pack(">I", size & 0xFFFFFFFF) + kind + data + struct.pack(">I", crc)


def png(*chunks: bytes, width: int = 4, height: int = 3, depth: int = 8, color: int = 0) -> bytes:
    """PNG of given chunks after a valid header."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


DATA = chunk(b"IDAT", zlib.compress(b"\0\1\2\3\4" * 3))
END = chunk(b"IEND", b"")


@IMAGES.each(("PNG", "JPEG", "BMP", "PPM", "TGA"))
def valid(box: Box, kind: str) -> Call:
    return call(box, f"valid.{kind.lower()}", encoded(image_of("RGB"), kind), ACCEPTED)


@IMAGES.each([(kind, mode) for kind in ("PNG", "TIFF") for mode in MODES])
def mode(box: Box, pair: tuple[str, str]) -> Call:
    content = encoded(image_of(pair[1], seed=box.random.randrange(99)), pair[0])
    return call(box, "mode.dat", content)


@IMAGES.each(FORMATS)
def written_by_pillow(box: Box, kind: str) -> Call:
    return call(box, f"image.{kind.lower()}", encoded(image_of("RGB", 16, 16), kind))


@IMAGES.each(FORMATS[:12])
def broken(box: Box, kind: str) -> Call:
    content = encoded(image_of(box.random.choice(("RGB", "L")), 16, 16), kind)
    return call(box, f"broken.{kind.lower()}", damaged(content, box.random))


@IMAGES.each([0, 1, 7, 8, 20, 33, -12, -4, -1])
def cut_png(box: Box, end: int) -> Call:
    return call(box, "cut.png", encoded(image_of("RGB"), "PNG")[:end])


@IMAGES.each(
    [
        png(chunk(b"IDAT", zlib.compress(b"\0\1\2\3\4" * 3), length=1_000_000)),
        png(chunk(b"IDAT", b"no zlib"), END),
        png(DATA),
        png(END),
        png(chunk(b"IDAT", zlib.compress(b"\0\1")), END),
        png(chunk(b"IDAT", zlib.compress(b"\7\1\2\3\4" * 3)), END),
        png(DATA, END, width=0),
        png(DATA, END, height=0),
        png(DATA, END, width=60_000, height=60_000),
        png(DATA, END, width=2**31 - 1, height=1),
        png(DATA, END, depth=3),
        png(DATA, END, color=9),
        png(DATA, END, color=3),
        png(chunk(b"PLTE", b"\1"), DATA, END, color=3),
        png(chunk(b"tEXt", b"a\0b", length=-1), DATA, END),
        png(chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(10**7))), DATA, END),
        png(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"profile")), DATA, END),
        png(chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"), DATA, END),
        png(chunk(b"gAMA", b""), DATA, END),
        png(chunk(b"tRNS", b""), DATA, END),
        png(chunk(b"acTL", bytes(8)), DATA, END),
        png(chunk(b"IDAT", zlib.compress(b"\0\1\2\3\4" * 3), check=1), END),
        png(chunk(b"IHDR", b""), DATA, END),
    ]
)
def chunks(box: Box, content: bytes) -> Call:
    return call(box, "chunks.png", content)


@IMAGES.each([0, 1, 6, 9, 65_535, "text", b"\xff\xff", (6, 6)])
def orientation(box: Box, value: object) -> Call:
    exif = Image.Exif()
    try:
        exif[0x0112] = value
        data = exif.tobytes()
    except (TypeError, ValueError, struct.error):
        data = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\xff\xff\0\0\0\0\0\0"
    return call(box, "exif.jpg", encoded(image_of("RGB"), "JPEG", exif=data))


@IMAGES.each([b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", bytes(60_000)])
def exif_block(box: Box, block: bytes) -> Call:
    return call(box, "exif.jpg", encoded(image_of("RGB"), "JPEG", exif=block))


@IMAGES.each(["GIF", "PNG", "WEBP", "TIFF"])
def animated(box: Box, kind: str) -> Call:
    frames = [image_of("RGB", seed=index) for index in range(1, 4)]
    content = encoded(image_of("RGB"), kind, save_all=True, append_images=frames)
    content = damaged(content, box.random) if box.random.random() < 0.5 else content
    return call(box, f"moving.{kind.lower()}", content)


@IMAGES.each([(1, 1), (1, 400), (400, 1), (2, 3)])
def small(box: Box, size: tuple[int, int]) -> Call:
    return call(box, "small.png", encoded(image_of("RGB", *size), "PNG"), ACCEPTED)


@IMAGES.each(
    [
        b"", b"\0", b"text\n", b"<!DOCTYPE html><html></html>", b"<svg></svg>", b"%PDF-1.7\n",
        b"PK\3\4rest", b"\x93NUMPY\1\0", b"GIF89a", b"BM", b"II*\0", b"MM\0*\0\0\0\x08",
        b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"P6\n4 3\n255\n", b"P5\n-4 3\n255\n",
        b"P6 99999999999 1 255\n", b"P1\n2 2\n1 0 5 x", b"Pf\n1 1\nnan\n\0\0\0\0",
        b"version https://git-lfs.github.com/spec/v1\n", bytes(4096), b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"#define a_width 4\n#define a_height x\n",
    ]
)  # fmt: skip
def not_an_image(box: Box, content: bytes) -> Call:
    name = box.random.choice(("photo.jpg", "photo.png", "photo.tif", "photo"))
    return call(box, name, content, REFUSED)


@IMAGES.each(["nan", "inf", "negative", "huge"])
def float_values(box: Box, kind: str) -> Call:
    values = np.zeros((3, 4), np.float32)
    values[1, 1] = {"nan": np.nan, "inf": np.inf, "negative": -5, "huge": 1e30}[kind]
    return call(box, "float.tif", encoded(Image.fromarray(values), "TIFF"))


@IMAGES
def standard_input(box: Box) -> Call:
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    content = damaged(encoded(image_of("RGB"), "PNG"), box.random)
    return Call(("segment", "-", *SEGMENT), EITHER, ("standard input", "stdin"), stdin=content)


@IMAGES
def one_of_three_is_broken(box: Box) -> Call:
    for name in ("photos/a.png", "photos/c.png"):
        box.write(name, encoded(image_of("RGB"), "PNG"))
    made = call(box, "photos/b.png", b"not an image", REFUSED)
    return Call(("segment", "photos", *SEGMENT, "--json"), made.statuses, ("b.png",))

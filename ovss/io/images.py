"""Image reading: anything that holds an image becomes an (H, W, 3) RGB uint8 array."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .advice import advice_of, advised
from .contents import reason_of_error
from .decoding import decode, orientation_of
from .deep import oriented
from .names import IMAGE_SUFFIXES, STDIN, ImageError, is_url, printable
from .pixels import rgb_from_array, rgb_from_pil
from .regular import inherited_pipe, path_errors, special_kind
from .remote import download, read_stdin, read_stream
from .sources import find_images

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "errors_named",
    "find_images",
    "image_content",
    "input_name",
    "is_encoded",
    "read_image",
    "to_rgb",
]


def read_image(source: Any, *, large: bool = False) -> np.ndarray:
    """Reads an encoded image as (H, W, 3) RGB uint8, rotated by its EXIF orientation.

    Grey, palette, CMYK, Lab, 16-bit and float files are converted. White is the value that the
    file states, else the smallest of 8, 10, 12, 14 and 16 bits that holds the maximum of the
    image. Transparent pixels are blended with white. Of an animation or a file of several pages,
    the first one is read.

    Args:
        source: path, http or https address, ``"-"`` for the standard input, bytes, or binary file
            object.
        large: True to read images above the limit of 100 megapixels, which guards against files
            that unpack to more than the memory holds.

    Raises:
        ImageError: the image does not exist, cannot be downloaded, is not an image, is truncated,
            has values that describe no image, or exceeds a limit.
    """
    with errors_named(input_name(source)):
        return decode(image_content(source), large)


def to_rgb(image: Any, *, large: bool = False) -> np.ndarray:
    """Converts an image to (H, W, 3) RGB uint8.

    Args:
        image: anything that `read_image` reads, a PIL image, an array (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4), or a torch tensor (H, W), (1, H, W), (3, H, W) or (4, H, W). Values of
            uint8 are 0..255. White in uint16 is the largest value of the smallest of 8, 10, 12, 14
            and 16 bits that holds the maximum. Other integers must lie in 0..255. Floats are 0..1,
            or 0..255 if any value is above 1. Channels are RGB or RGBA; transparent pixels are
            blended with white.
        large: True to read images of any size, as in `read_image`.

    Raises:
        ImageError: the type, shape or value range does not describe an image.
    """
    if isinstance(image, Image.Image):
        with errors_named("PIL image"):
            return oriented(rgb_from_pil(image), orientation_of(image))
    if isinstance(image, np.ndarray):
        return rgb_from_array(image)
    if is_encoded(image):
        return read_image(image, large=large)
    if hasattr(image, "detach"):  # recognises a torch tensor without importing torch
        array = image.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
        return rgb_from_array(np.moveaxis(array, 0, -1) if array.ndim == 3 else array)
    if hasattr(image, "__array__"):
        return rgb_from_array(np.asarray(image))
    raise ImageError(
        "expected a path, address, bytes, binary file, PIL image, numpy array or torch tensor, got "
        f"{type(image).__name__}"
    )


def input_name(source: Any) -> str:
    """Printable name of an input for messages."""
    if isinstance(source, str) and source == STDIN:
        return "standard input"
    if isinstance(source, str | os.PathLike):
        text = printable(source)
        return text if len(text) <= 300 else f"{text[:200]}...{text[-80:]}"
    if isinstance(name := getattr(source, "name", None), str) and name:
        return printable(name)
    return "image data"


def image_content(source: Any) -> Path | io.BytesIO:
    """Path or bytes of an encoded image; addresses and streams are read here.

    Raises:
        ImageError: the input does not exist, cannot be read, or exceeds a limit.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if hasattr(source, "read"):
        return io.BytesIO(read_stream(source))
    if is_url(source):
        return io.BytesIO(download(source))
    if source == STDIN and isinstance(source, str):
        return io.BytesIO(read_stdin())
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"expected a path, address, bytes or binary file, got {type(source).__name__}"
        )
    path = Path(source)
    try:
        with path_errors(path):
            pipe = inherited_pipe(path)
            kind = "" if pipe is not None else special_kind(path.stat().st_mode)
    except FileNotFoundError:
        raise ImageError("no such file") from None
    if kind:
        raise ImageError(f"{kind}; expected an image file")
    if pipe is None:
        return path
    with pipe:  # it cannot be read twice
        return io.BytesIO(read_stream(pipe))


@contextmanager
def errors_named(name: str) -> Iterator[None]:
    """Context whose errors become an `ImageError` that starts with the name of the input."""
    try:
        yield
    except ImageError as error:
        advice = advice_of(error)
        raise advised(ImageError(f"{name}: {error}"), *advice.topics, **advice.values) from error
    except MemoryError as error:
        raise ImageError(f"{name}: the image does not fit into memory") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise ImageError(f"{name}: cannot be read ({reason_of_error(error)})") from error


def is_encoded(image: Any) -> bool:
    """True for paths, addresses, bytes and file objects, which `read_image` reads."""
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(
        image, "read"
    )

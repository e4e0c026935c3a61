"""Images that users send: checked before they are decoded, and named without becoming a path."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ovss.io.decoding import decode, open_pillow
from ovss.io.images import errors_named
from ovss.io.names import ImageError, printable

from .limits import MIB, Limits

__all__ = ["UserImage", "read_user_image", "shown_name"]

LONGEST_NAME = 100


@dataclass(frozen=True)
class UserImage:
    """Decoded image of a user.

    Args:
        name: file name for messages and commands; see `shown_name`.
        rgb_HW3: (H, W, 3) RGB uint8.
    """

    name: str
    rgb_HW3: np.ndarray


def shown_name(name: str | None) -> str:
    r"""File name that messages, commands and downloads show; nothing opens a file by it.

    >>> shown_name("../../etc/a b.png"), shown_name("C:\\photos\\cat.jpg"), shown_name(None)
    ('a b.png', 'cat.jpg', 'image.png')
    """
    text = printable((name or "").replace("\\", "/").rpartition("/")[2].replace("\0", ""))
    text = text.strip(" .")
    if len(text) > LONGEST_NAME:
        text = text[: LONGEST_NAME - 10] + text[-10:]
    return text or "image.png"


def read_user_image(path: Path, name: str, limits: Limits) -> UserImage:
    """Reads an image that a user sent.

    Args:
        path: stored file.
        name: file name that the user knows it by.
        limits: largest size of the file and of the image.

    Raises:
        ImageError: the file or the image is too large, or it cannot be read as an image.
    """
    with errors_named(name):
        size = path.stat().st_size
        if size > limits.upload:
            raise ImageError(
                f"the file has {size / MIB:.1f} MiB, and this page reads at most "
                f"{limits.upload / MIB:g} MiB. Choose a smaller file"
            )
        content = path.read_bytes()
        _check_pixels(content, limits.pixels)
        rgb_HW3 = decode(io.BytesIO(content))
        _check_size(rgb_HW3.shape[1], rgb_HW3.shape[0], limits.pixels)
        return UserImage(name, rgb_HW3)


def _check_pixels(content: bytes, most: int) -> None:
    """Checks the size that the header states; files whose header Pillow cannot read pass."""
    try:
        with open_pillow(io.BytesIO(content), large=True) as image:
            width, height = image.size
    except Image.UnidentifiedImageError:
        return  # `decode` says what the file is, and limits the TIFFs that Pillow cannot read
    _check_size(width, height, most)


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise ImageError(
            f"the image has {width} x {height} pixels ({width * height / 1e6:.1f} million), and "
            f"this page reads at most {most / 1e6:g} million. Choose a smaller image"
        )

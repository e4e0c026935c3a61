"""Marks on the images that this package writes, so that a later run does not take them as input."""

from __future__ import annotations

import os
from typing import IO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["SOFTWARE", "is_own_output", "save_png"]

SOFTWARE = "ovss"
"""Value of the PNG text chunk ``Software`` in every image that this package writes."""


def save_png(image: Image.Image, file: IO[bytes]) -> None:
    """Writes an image as PNG, marked as an output of this package."""
    info = PngInfo()
    info.add_text("Software", SOFTWARE)
    image.save(file, format="png", pnginfo=info)


def is_own_output(path: str | os.PathLike[str]) -> bool:
    """True if a file is a PNG that `save_png` wrote; only its header is read."""
    if not os.fspath(path).lower().endswith(".png"):
        return False
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except Exception:  # not an image, which its reader reports
        return False

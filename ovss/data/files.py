"""Label maps from files, with errors that say which file is wrong. Pictures: `ovss.image_io`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovss.image_io import ImageError

_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def read_labels(path: str | Path) -> NDArray[np.integer]:
    """The raw values of a label map, (H, W): 16-bit files keep 16 bits, palettes their indices.

    Raises:
        ImageError: no such file, damaged, or not one channel of indices.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode not in _MODES:
                raise ImageError(
                    f"{path}: a label map of mode {picture.mode}; expected one channel of indices "
                    f"(grey, palette or 16 bit), not colours"
                )
            raw_HW = np.array(picture)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path}: cannot be read as a label map: {reason}") from error
    return raw_HW.astype(np.uint8) if raw_HW.dtype == np.bool_ else raw_HW

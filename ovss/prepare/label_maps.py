"""LabelMap of a MATLAB file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .recipe import LabelError

__all__ = ["read_label_map"]

_WIDE = ("u2", "u4", "i2", "i4", "f4", "f8")


def read_label_map(path: Path) -> NDArray[np.int32]:
    """The variable LabelMap, (H, W).

    Raises:
        ImportError: no scipy.
        LabelError: no MATLAB file, no LabelMap in it, not two-dimensional, 8 bits, or fractions.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError("reading .mat files needs scipy: pip install scipy") from None
    try:
        # as MATLAB would have it: small numbers are stored in fewer bytes than their type has
        content = loadmat(path, variable_names=["LabelMap"], mat_dtype=True)
    except Exception as error:  # damaged and newer files raise nearly anything
        reason = str(error) or type(error).__name__
        raise LabelError(
            f"{path}: cannot be read as a MATLAB file ({reason}); unpack trainval.tar.gz again"
        ) from error
    map_HW = content.get("LabelMap")
    if map_HW is None or map_HW.ndim != 2 or map_HW.dtype.kind not in "uif":
        raise LabelError(f"{path}: has no LabelMap of numbers; take the file of trainval.tar.gz")
    if map_HW.dtype.str[1:] not in _WIDE:
        raise LabelError(
            f"{path}: LabelMap has type {map_HW.dtype}, 8 bits: 459 classes do not fit, some are "
            f"lost. Take the official file, which has 16"
        )
    if map_HW.dtype.kind == "f" and not (np.isfinite(map_HW) & (map_HW == np.floor(map_HW))).all():
        raise LabelError(f"{path}: LabelMap has fractions; take the file of trainval.tar.gz")
    return map_HW.astype(np.int32)

"""Decoder for COCO's run-length masks: alternating runs of 0 and 1, column by column from 0."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovss.io.excerpts import excerpt

__all__ = ["decode_counts", "decode_mask"]


def decode_counts(text: str | bytes) -> list[int]:
    """Decodes run lengths from their compressed string.

    A number is stored in two's complement with 5 bits per character, the lowest bits first. Each
    character is 48 plus those bits, plus 32 if the number continues. From the fourth number on,
    the difference to the number two places earlier is stored.

    Raises:
        ValueError: a character is not part of the code, or the string ends within a number.

    >>> decode_counts("52203")  # 5, 2, 2, then 2 + 0 and 2 + 3
    [5, 2, 2, 2, 5]
    """
    if isinstance(text, str):
        text = text.encode("ascii", "replace")
    counts: list[int] = []
    value = shift = 0
    for position, byte in enumerate(text):
        code = byte - 48
        if not 0 <= code < 64:
            raise ValueError(
                f"character {position} of the run lengths is {chr(byte)!r}, which is not part of "
                f"the code"
            )
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:  # sign bit of the two's complement
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return counts


def decode_mask(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decodes ``{"size": [H, W], "counts": string or list}`` to a mask, (H, W) bool.

    Raises:
        ValueError: the input is not a run-length mask, or its runs do not fill the size.

    >>> decode_mask({"size": [2, 3], "counts": [1, 2, 3]}).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    if not isinstance(rle, Mapping) or "counts" not in rle or "size" not in rle:
        raise ValueError(
            f"expected a run-length mask with 'size' and 'counts', got {str(rle)[:60]}"
        )
    height, width = _integers(rle["size"], "size", 2)
    counts = rle["counts"]
    is_text = isinstance(counts, str | bytes)
    runs = decode_counts(counts) if is_text else _integers(counts, "counts")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(
            f"expected runs of {height} x {width} = {height * width} pixels, found {sum(runs)}"
        )
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def _integers(values: Any, key: str, length: int | None = None) -> list[int]:
    """Integers of a list in a file, which may be written as 6.0."""
    is_list = isinstance(values, list | tuple) and len(values) == (length or len(values))
    if not is_list or not all(_is_whole(value) for value in values):
        wanted = f"{length} integers" if length else "a list of integers"
        raise ValueError(f"expected {wanted} in {key!r}, got {excerpt(values, 60)}")
    return [int(value) for value in values]


def _is_whole(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0

"""Parts of an evaluation on disk: what a rank counted in a session, and the checks of a part."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from ovss.io.hashing import content_hash
from ovss.io.strict_json import parse_json

FORMAT = 2
"""Format of the parts; parts of another format are evaluated again."""
Marks = NDArray[np.bool_]
CountState = Mapping[str, list[int]]
"""Running counts of a metric, in a form that JSON can hold."""


@dataclass(frozen=True)
class SessionCounts:
    """Work of one rank in one session.

    Args:
        done_N: True for images that are counted.
        counts: counts of each metric.
        seconds: wall-clock seconds until the part was written.
        started: start of the session (UTC, ISO 8601).
    """

    done_N: Marks
    counts: Sequence[CountState]
    seconds: float
    started: str


def read_part(
    path: Path, identity: Mapping[str, str], length: int, empty: Sequence[CountState] | None
) -> SessionCounts | None:
    """Reads a part; logs a warning and returns None if it is damaged or does not fit.

    Args:
        path: path of the part.
        identity: hashes of the evaluation.
        length: number of images in the dataset.
        empty: counts of each metric before the first image; None: any counts fit.
    """
    try:
        content = parse_json(path.read_bytes())
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"does not have format {FORMAT}")
        if content.pop("check", None) != content_hash(content):
            raise ValueError("was changed after it was written")
        if content["identity"] != identity:
            raise ValueError("belongs to another evaluation")
        if content["pictures"] != length:
            raise ValueError(f"is of {content['pictures']!r} images, not of {length:,}")
        counts = checked_counts(content["counts"], empty)
        return SessionCounts(
            _marks(content["done"], length), counts, float(content["seconds"]), content["started"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        print_log(
            f"The state {path} is not used, because it {reason}. Its images are evaluated again",
            "current",
            logging.WARNING,
        )
        return None


def packed_marks(done_N: Marks) -> str:
    """Bits of marks in base64."""
    return base64.b64encode(np.packbits(done_N).tobytes()).decode()


def _marks(packed: str, length: int) -> Marks:
    """Marks of `length` images from their bits in base64."""
    bits = np.frombuffer(base64.b64decode(packed, validate=True), np.uint8)
    if len(bits) != -(-length // 8) or np.unpackbits(bits)[length:].any():
        raise ValueError(f"does not mark {length:,} images")
    return np.unpackbits(bits, count=length).astype(bool)


def checked_counts(counts: Any, empty: Sequence[CountState] | None) -> list[CountState]:
    """Checks counts that were read from a file.

    Args:
        counts: value of the file.
        empty: counts of each metric before the first image; None: any counts.

    Raises:
        ValueError: the counts are not whole numbers of at least 0, or do not have the shape of
            `empty`. The message is the end of a sentence about the file.
    """
    rows = [row for state in counts for row in state.values()]
    if any(type(n) is not int or n < 0 for row in rows for n in row):
        raise ValueError("has counts that are not whole numbers of at least 0")
    if empty is not None:
        shapes = [
            [{key: len(row) for key, row in state.items()} for state in each]
            for each in (counts, empty)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError("has counts of other metrics or classes")
    return list(counts)

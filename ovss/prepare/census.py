"""What the labels of a split hold: counted from the records of its pictures."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .recipe import Found, LabelError, Labels

__all__ = ["count_values", "label_hash", "split_census"]


def count_values(labels: Labels, num_classes: int, ignored: tuple[int, ...], where: object) -> dict:
    """Pixels of each value that occurs, ``{"3": 120}``.

    Raises:
        LabelError: a value that is neither a class nor ignored.
    """
    counts = np.bincount(labels.ravel())
    values = np.flatnonzero(counts)
    wrong = [int(v) for v in values if v >= num_classes and v not in ignored]
    if wrong:
        raise LabelError(f"{where}: converted labels hold {wrong[:5]}, of {num_classes} classes")
    return {str(value): int(counts[value]) for value in values}


def label_hash(labels: Labels) -> str:
    """SHA-256 of shape and values, whatever file they are kept in."""
    digest = hashlib.sha256(repr(labels.shape).encode())
    digest.update(np.ascontiguousarray(labels.astype("<u2")).tobytes())
    return digest.hexdigest()


def split_census(
    records: Iterable[Mapping[str, Any]],
    num_classes: int,
    ignored: tuple[int, ...],
    found: Found,
    official: int | None,
) -> tuple[dict[str, Any], list[list[int]]]:
    """What ``dataset.json`` says of one split, and [pixels, files] of each class.

    Args:
        records: of its items, sorted by key.
        found: what the source had.
        official: how many pictures the official split has, if known.
    """
    per_class = np.zeros((num_classes, 2), np.int64)
    sizes: Counter[str] = Counter()
    dropped, pixels, not_labelled = [], 0, 0
    digest = hashlib.sha256()
    for record in records:
        if record["dropped"]:
            dropped.append(record["key"])
            continue
        height, width = record["size"]
        sizes[f"{width}x{height}"] += 1
        pixels += height * width
        digest.update(f"{record['key']} {record['sha256']}\n".encode())
        for value, count in record["counts"].items():
            if int(value) in ignored:
                not_labelled += count
            else:
                per_class[int(value)] += (count, 1)
    summary = {
        "images": sum(sizes.values()),
        "official": official,
        "dropped": dropped,
        "labels_sha256": digest.hexdigest(),
        "sizes": dict(sizes.most_common()),
        "pixels": pixels,
        "ignored_pixels": not_labelled,
        "source": {
            "images": found.images,
            "masks": found.masks,
            "unpaired": len(found.unpaired),
        },
        "notes": found.notes,
    }
    return summary, per_class.tolist()

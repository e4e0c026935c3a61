"""Statistics of the labels of a split, computed from the records of its images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .recipe import LabelError, Labels, SplitFiles

__all__ = ["count_values", "label_hash", "split_census"]


def count_values(labels: Labels, num_classes: int, ignored: tuple[int, ...], where: object) -> dict:
    """Number of pixels of each value that occurs, for example ``{"3": 120}``.

    Args:
        labels: converted label map.
        num_classes: number of classes T.
        ignored: values that mean "unlabelled".
        where: file that an error message names.

    Raises:
        LabelError: a value is neither a class nor ignored.
    """
    counts = np.bincount(labels.ravel())
    values = np.flatnonzero(counts)
    wrong = [int(v) for v in values if v >= num_classes and v not in ignored]
    if wrong:
        raise LabelError(
            f"{where}: the converted labels contain the values {', '.join(map(str, wrong[:5]))}, "
            f"but the dataset has only {num_classes} classes"
        )
    return {str(value): int(counts[value]) for value in values}


def label_hash(labels: Labels) -> str:
    """SHA-256 of the shape and values of a label map, independent of its file format."""
    digest = hashlib.sha256(repr(labels.shape).encode())
    digest.update(np.ascontiguousarray(labels.astype("<u2")).tobytes())
    return digest.hexdigest()


def split_census(
    records: Iterable[Mapping[str, Any]],
    num_classes: int,
    ignored: tuple[int, ...],
    files: SplitFiles,
    official: int | None,
) -> tuple[dict[str, Any], list[list[int]]]:
    """Entry of ``dataset.json`` for one split, and [pixels, files] of each class.

    Args:
        records: records of the items of the split, sorted by key.
        num_classes: number of classes T.
        ignored: values that mean "unlabelled".
        files: files of the split in the source.
        official: number of images in the official split, if known.
    """
    per_class = np.zeros((num_classes, 2), np.int64)
    sizes: Counter[str] = Counter()
    dropped, pixels, unlabelled = [], 0, 0
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
                unlabelled += count
            else:
                per_class[int(value)] += (count, 1)
    summary = {
        "images": sum(sizes.values()),
        "official": official,
        "dropped": dropped,
        "labels_sha256": digest.hexdigest(),
        "sizes": dict(sizes.most_common()),
        "pixels": pixels,
        "ignored_pixels": unlabelled,
        "source": {
            "images": files.images,
            "masks": files.masks,
            "unpaired": len(files.unpaired),
        },
        "notes": files.notes,
    }
    return summary, per_class.tolist()

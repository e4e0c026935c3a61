"""The census of a split, from label maps that are counted by hand."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ovss.prepare.census import count_values, label_hash, split_census
from ovss.prepare.recipe import LabelError, SplitFiles

LABELS = {  # three classes; 255 and 3 are ignored
    "a": np.array([[0, 1, 255], [1, 1, 3]], np.uint8),
    "b": np.array([[2, 2], [0, 255]], np.uint8),
    "c": np.array([[1, 1, 1]], np.uint8),
}
IGNORED = (255, 3)


def record(key: str, dropped: bool = False) -> dict:
    labels = LABELS[key]
    counts = count_values(labels, 3, IGNORED, key)
    return {
        "key": key,
        "size": list(labels.shape),
        "counts": counts,
        "sha256": label_hash(labels),
        "dropped": dropped,
    }


def test_values_are_counted_and_checked():
    assert record("a")["counts"] == {"0": 1, "1": 3, "3": 1, "255": 1}
    with pytest.raises(LabelError, match=r"b\.png: .*values 4, but the dataset has only 3"):
        count_values(np.array([[4, 0]], np.uint8), 3, IGNORED, "b.png")


def test_the_hash_covers_shape_and_values_and_not_the_type():
    labels = np.array([[1, 2, 3], [4, 5, 300]], np.uint16)
    content = b"(2, 3)" + b"".join(int(v).to_bytes(2, "little") for v in labels.ravel())
    assert label_hash(labels) == hashlib.sha256(content).hexdigest()
    assert label_hash(labels) == label_hash(labels.astype(np.int32))
    assert label_hash(labels) != label_hash(labels.reshape(3, 2))
    assert label_hash(labels) != label_hash(labels.T)


def test_census_by_hand():
    files = SplitFiles(images=4, masks=3, unpaired=["x"], notes=["n"])
    records = [record("a"), record("b"), record("c", dropped=True)]
    summary, per_class = split_census(records, 3, IGNORED, files, 2)
    assert per_class == [[1 + 1, 2], [3, 1], [2, 1]]  # pixels, files; the dropped one counts not
    assert summary["pixels"] == 6 + 4
    assert summary["ignored_pixels"] == 2 + 1
    assert sum(pixels for pixels, _ in per_class) + 3 == summary["pixels"]
    assert (summary["images"], summary["official"], summary["dropped"]) == (2, 2, ["c"])
    assert summary["sizes"] == {"3x2": 1, "2x2": 1}
    assert summary["source"] == {"images": 4, "masks": 3, "unpaired": 1}
    lines = "".join(f"{r['key']} {r['sha256']}\n" for r in records[:2])
    assert summary["labels_sha256"] == hashlib.sha256(lines.encode()).hexdigest()

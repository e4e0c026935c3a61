"""Recall of kept categories against sets of categories, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ovss.benchmark.clock import Span
from ovss.benchmark.kept import Point, Watch
from ovss.selection import IGNORE, Selection
from ovss.structures import Scores, TextFeatures

NAMES = ("cat", "dog", "sky", "road", "boat")
SEEN = {"cat", "sky"}
IMAGES = [  # names in the labels, names kept in each view
    (["cat", "dog"], [["cat"], ["sky", "road"]]),
    (["sky", "boat"], [["sky", "boat"], ["boat"]]),
    (["dog"], [["cat", "sky", "road"]]),
]


def watched(views: list[list[str]]) -> Watch:
    """Record of the views, fed through both hooks."""
    watch, every = Watch(), set()
    for kept in views:
        keep_1T = torch.tensor([[name in kept for name in NAMES]])
        watch.record_view(None, None, Selection.from_mask(keep_1T))
        every |= set(kept)
    merged = Selection.from_mask(torch.tensor([[name in every for name in NAMES]]))
    probs = torch.zeros(1, len(every), 1, 1)
    scores = Scores(probs, merged, None, TextFeatures(torch.zeros(5, 1, 2)))
    watch.record_merged(None, (scores,))
    return watch


def recall(group: set[str]) -> float:
    present = [(i, n) for i, (labels, _) in enumerate(IMAGES) for n in labels if n in group]
    found = [(i, n) for i, n in present if any(n in view for view in IMAGES[i][1])]
    return 100 * len(found) / len(present)


def test_recall_and_numbers_of_kept_categories():
    point = Point(0.5, NAMES, np.array([name in SEEN for name in NAMES]))
    for number, (labels, views) in enumerate(IMAGES):
        index = [NAMES.index(name) for name in labels]
        labels_HW = torch.tensor([[*index, IGNORE]])
        predicted_HW = torch.tensor([[index[0]] * (len(index) + 1)])
        point.add(labels_HW, predicted_HW, watched(views), Span(number + 1.0, 2.0 * number))
    row = point.as_dict()
    # found: cat, not dog; sky and boat; not dog
    assert row["recall"] == pytest.approx(100 * 3 / 5) == recall(set(NAMES))
    assert row["recall_seen"] == pytest.approx(100) == recall(SEEN)
    assert row["recall_unseen"] == pytest.approx(100 / 3) == recall(set(NAMES) - SEEN)
    views = [len(kept) for _, every in IMAGES for kept in every]
    assert row["kept_per_view"] == {"mean": sum(views) / 5, "smallest": 1, "largest": 3}
    assert row["kept_per_image"] == {"mean": (3 + 2 + 3) / 3, "smallest": 2, "largest": 3}
    assert row["seconds_per_image"] == {"wall": 2.0, "processor": 2.0}
    assert (row["categories"], row["images"]) == (5, 3)


def test_recall_without_such_a_category_is_undefined():
    point = Point(None, NAMES, np.zeros(5, bool))
    labels_HW = torch.tensor([[0, IGNORE]])
    point.add(labels_HW, torch.tensor([[0, 0]]), watched([["cat"]]), Span(1, 1))
    assert point.recall(np.zeros(5, bool)) is None
    assert point.as_dict()["recall_seen"] is None
    assert point.as_dict()["recall_unseen"] == 100

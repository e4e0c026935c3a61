"""Metrics against numbers computed by hand, and against their definitions in exact fractions."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from ovss.evaluation.iou import AreaCounts, IoUReport, harmonic_mean
from ovss.selection import IGNORE
from ovss.testing.stand_in import StandInDevice

# Class 3 is predicted at ignored pixels only; class 4 is predicted, but never true.
TRUE = [0, 0, 0, 0, 1, 1, 2, IGNORE, IGNORE]
PREDICTED = [0, 0, 1, 4, 1, 2, 2, 3, 0]
SEEN = [True, False, False, True, False]
BY_HAND = {
    "mIoU": (1 / 2 + 1 / 3 + 1 / 2) / 3,
    "mIoU_union": (1 / 2 + 1 / 3 + 1 / 2 + 0) / 4,
    "mIoU_seen": 1 / 2,  # class 3 is absent
    "mIoU_unseen": (1 / 3 + 1 / 2) / 2,  # class 4 is absent
    "hIoU": 5 / 11,  # the arithmetic mean would be 11 / 24
    "pACC": 4 / 7,
    "mACC": (1 / 2 + 1 / 2 + 1) / 3,
    "fwIoU": (4 * 1 / 2 + 2 * 1 / 3 + 1 * 1 / 2) / 7,
}


def report_of(predicted: list[int], true: list[int], seen: list[bool]) -> IoUReport:
    counts = AreaCounts(len(seen))
    half = len(true) // 2
    for part in (slice(half), slice(half, None)):  # two images, which are added up
        counts.add(torch.tensor([predicted[part]]), torch.tensor([true[part]]))
    names = tuple(f"class {i}" for i in range(len(seen)))
    return IoUReport(names, np.array(seen), counts)


def test_every_metric_equals_the_number_computed_by_hand():
    report = report_of(PREDICTED, TRUE, SEEN)
    expected = {name: 100 * value for name, value in BY_HAND.items()}
    assert report.summary() == pytest.approx(expected, abs=1e-10)
    assert report.iou_T.tolist()[:3] == pytest.approx([50, 100 / 3, 50])
    assert np.isnan(report.iou_T[3])
    assert report.iou_T[4] == 0
    assert report.accuracy_T.tolist()[:3] == pytest.approx([50, 50, 100])
    assert np.isnan(report.accuracy_T[3:]).all()
    categories = report.as_dict()["categories"]
    assert categories["class 1"] == {
        "iou": 33.3333,
        "accuracy": 50.0,
        "seen": False,
        "pixels": 2,
        "predicted": 2,
        "correct": 1,
    }
    assert categories["class 3"]["iou"] is None


def fractions_of(predicted: list[int], true: list[int], seen: list[bool]) -> dict:
    """Every metric by its definition, from sets of pixel positions; None if undefined."""
    labelled = [i for i, label in enumerate(true) if label != IGNORE]
    iou, accuracy, pixels = {}, {}, {}
    for c in range(len(seen)):
        is_true = {i for i in labelled if true[i] == c}
        is_predicted = {i for i in labelled if predicted[i] == c}
        if is_true | is_predicted:
            iou[c] = Fraction(len(is_true & is_predicted), len(is_true | is_predicted))
        if is_true:
            accuracy[c] = Fraction(len(is_true & is_predicted), len(is_true))
            pixels[c] = len(is_true)

    def mean(values):
        values = list(values)
        return sum(values, Fraction(0)) / len(values) if values else None

    of_seen = mean(iou[c] for c in pixels if seen[c])
    of_unseen = mean(iou[c] for c in pixels if not seen[c])
    harmonic = None
    if of_seen is not None and of_unseen is not None:
        both = of_seen and of_unseen
        harmonic = 1 / ((1 / of_seen + 1 / of_unseen) / 2) if both else Fraction(0)
    correct = sum(predicted[i] == true[i] for i in labelled)
    return {
        "mIoU": mean(iou[c] for c in pixels),
        "mIoU_union": mean(iou.values()),
        "mIoU_seen": of_seen,
        "mIoU_unseen": of_unseen,
        "hIoU": harmonic,
        "pACC": Fraction(correct, len(labelled)) if labelled else None,
        "mACC": mean(accuracy.values()),
        "fwIoU": (
            sum((iou[c] * n for c, n in pixels.items()), Fraction(0)) / len(labelled)
            if labelled
            else None
        ),
    }


@pytest.mark.parametrize("seed", range(25))
def test_metrics_equal_their_definitions(seed):
    draw = random.Random(seed)
    classes = draw.randint(1, 9)
    true_of = draw.sample(range(classes), draw.randint(1, classes))
    true = [draw.choice([*true_of, IGNORE]) for _ in range(40)]
    predicted = [
        draw.randrange(classes) if draw.random() < 0.6 else max(label, 0) for label in true
    ]
    seen = [draw.random() < 0.5 for _ in range(classes)]
    expected = {
        name: float("nan") if value is None else float(100 * value)
        for name, value in fractions_of(predicted, true, seen).items()
    }
    summary = report_of(predicted, true, seen).summary()
    assert summary == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_method_that_misses_every_unseen_pixel_has_a_harmonic_mean_of_zero():
    report = report_of([0, 0, 0, 0], [0, 0, 0, 1], [True, False])
    summary = report.summary()
    assert (summary["mIoU_seen"], summary["mIoU_unseen"], summary["hIoU"]) == (75, 0, 0)


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"),
    [(60, 30, 40), (30, 60, 40), (20, 20, 20), (100, 50, 200 / 3), (40, 0, 0), (0, 0, 0)],
)
def test_harmonic_means(seen, unseen, expected):
    assert harmonic_mean(float(seen), float(unseen)) == pytest.approx(expected)


def test_counts_of_ranks_add_up_in_every_row():
    one, other = AreaCounts(3), AreaCounts(3)
    one.add(torch.tensor([[0, 1]]), torch.tensor([[0, 2]]))
    other.add(torch.tensor([[2, 2]]), torch.tensor([[2, 1]]))
    one.merge(other)
    assert one.both_T.tolist() == [1, 0, 1]
    assert one.predicted_T.tolist() == [1, 1, 2]
    assert one.true_T.tolist() == [1, 1, 2]


def test_a_device_counts_as_a_cpu_does_and_is_read_once():
    predicted, labels = torch.randint(0, 5, (2, 30, 40))
    labels[torch.rand(30, 40) < 0.2] = IGNORE
    predicted[labels == IGNORE] = -1
    expected, found = AreaCounts(5), AreaCounts(5)
    expected.add(predicted, labels)
    with StandInDevice() as stand_in:
        there = predicted.to(stand_in.device), labels.to(stand_in.device)
        stand_in.reset()
        found.add(*there)
        assert stand_in.counts.waits == 1
        there[0][0, 0], there[1][0, 0] = 7, 0
        with pytest.raises(ValueError, match=r"Predicted indices must be in 0\.\.4"):
            AreaCounts(5).add(*there)
    for name in ("both_T", "predicted_T", "true_T"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()

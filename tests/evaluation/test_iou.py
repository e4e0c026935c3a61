"""Tests of metrics without labels and of the note about a part of a dataset."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ovss.evaluation.iou import AreaCounts, IoUReport

NAMES = ("sky", "road")


def report(predicted: int, true: int, part: str = "") -> IoUReport:
    counts = AreaCounts(2)
    counts.predicted_T[0] = predicted
    counts.true_T[0] = true
    counts.both_T[0] = min(predicted, true)
    return IoUReport(NAMES, np.array([True, False]), counts, part=part)


@pytest.mark.parametrize("predicted", [0, 5])
def test_without_labels_no_metric_of_the_ground_truth_is_defined(predicted):
    result = report(predicted, 0)
    summary = result.summary()
    assert all(np.isnan(value) for key, value in summary.items() if key != "mIoU_union")
    written = json.dumps(result.as_dict(), allow_nan=False)
    assert json.loads(written)["summary"]["pACC"] is None
    assert "pACC                  -" in result.table()


def test_with_labels_pixel_metrics_are_as_before():
    summary = report(3, 4).summary()
    assert (summary["pACC"], summary["fwIoU"]) == (75.0, 75.0)


def test_a_part_of_a_dataset_is_printed_with_the_quoted_metric():
    assert report(1, 1, "2 of 9 images").headline_line().endswith("dataset: 2 of 9 images")
    assert "part" not in report(1, 1).table()

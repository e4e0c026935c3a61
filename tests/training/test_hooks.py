"""The loss curve, and the images that a run leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ovss.evaluation.images import comparison
from ovss.training.curve import damaged_lines, plot_curve, read_curve


def test_a_half_written_last_line_is_left_out(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_text('{"iter": 1, "loss": 2.0}\n{"iter": 2, "lo')
    assert read_curve(path) == [{"iter": 1, "loss": 2.0}]
    assert read_curve(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "line",
    ["null", "3", "[]", '{"loss": 1}', '{"iter": "x"}', '{"iter": -1}', '{"iter": true}', "\0",
     '{"iter": 1e999}', '{"iter": 1, "loss": "x"}', '{"iter": NaN}', "[" * 20_000, "\udcff"],
)  # fmt: skip
def test_damaged_lines_are_found_and_the_others_stay(tmp_path, line):
    path, good = tmp_path / "curve.jsonl", '{"iter": 1, "loss": null}\n'
    path.write_bytes((good + line + "\n" + good).encode("utf-8", "surrogateescape"))
    assert [row["iter"] for row in read_curve(path)] == [1, 1]
    assert damaged_lines(path) == [2]
    path.write_text(good + '{"iter": 2, "lo')
    assert damaged_lines(path) == []


def test_the_curve_is_drawn_with_and_without_validation(tmp_path):
    rows = [{"iter": i, "loss": 1 / i} for i in range(1, 40)]
    plot_curve(rows, tmp_path / "a.png", smooth=10)
    rows.append({"iter": 39, "val_mIoU": 30.0, "val_mIoU_seen": 40.0, "val_mIoU_unseen": 20.0})
    plot_curve(rows, tmp_path / "b.png", smooth=10)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    plot_curve([], tmp_path / "none.png", smooth=10)
    assert not (tmp_path / "none.png").exists()


def test_comparison_shows_image_truth_and_prediction_with_ignored_pixels():
    sample = SegDataSample(metainfo={"vocabulary": ("sky", "road")})
    labels = torch.zeros(1, 60, 80, dtype=torch.long)
    sample.pred_sem_seg = PixelData(data=labels + 1)
    alone = comparison(np.zeros((30, 40, 3), np.uint8), sample)
    sample.gt_sem_seg = PixelData(data=labels - 1)
    both = comparison(np.zeros((30, 40, 3), np.uint8), sample)
    assert both.width > alone.width >= 2 * 80
    assert both.width == 3 * 4 * 80 + 2 * 4

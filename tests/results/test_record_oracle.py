"""A result's census, metrics and times from first principles, and the rule of reproduction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from ovss.evaluation.cost import Cost
from ovss.evaluation.iou import AreaCounts, IoUReport
from ovss.protocols.named import find_protocol
from ovss.protocols.protocol import Protocol
from ovss.protocols.settled import SettledProtocol
from ovss.results.comparison import MetricPair, compare
from ovss.results.record import result_of
from ovss.results.result_file import Result
from tests.results.made_result import made_result

COST = Cost("2026-01-01T00:00:00+00:00", "2026-01-01T01:00:00+00:00", 90.0, 3, 2, 45, {})


def recorded(predicted: list[int], true: list[int], names: tuple[str, ...]) -> Result:
    counts = AreaCounts(len(names))
    counts.add(torch.tensor([predicted]), torch.tensor([true]))
    seen_T = np.array([name != "road" for name in names])
    return result_of(
        config=Config(
            {
                "model": {"encoder": {"type": "TinyEncoder", "pretrained": "clip.pt"}},
                "test_dataloader": {"dataset": {"type": "Made", "vocabulary": "own"}},
            }
        ),
        config_name="a",
        model=nn.Linear(2, 2),
        weights=None,
        report=IoUReport(names, seen_T, counts),
        protocol=SettledProtocol("mini", Protocol(find_protocol("mini").template.plain())),
        cost=COST,
        command=["ovss", "test"],
    )


NAMES = ("sky", "road", "boat")
TRUE = [0, 0, 0, 1, 1, -1, 0]


def test_the_census_is_the_hash_of_names_and_true_pixels():
    result = recorded([0, 1, 2, 1, 0, 0, 2], TRUE, NAMES)
    content = json.dumps([list(NAMES), [4, 2, 0]], separators=(",", ":"))
    assert result.data.census == hashlib.sha256(content.encode()).hexdigest()
    assert result.data.census == recorded([0] * 7, TRUE, NAMES).data.census
    assert result.data.census != recorded([0] * 7, [*TRUE[:-1], 1], NAMES).data.census
    assert result.data.census != recorded([0] * 7, TRUE, ("sky", "boat", "road")).data.census
    assert (result.data.categories, result.data.images) == (3, 45)


def test_metrics_are_recorded_without_rounding():
    result = recorded([0, 1, 2, 1, 0, 0, 2], TRUE, NAMES)
    # sky: 1 correct, 4 true, 2 predicted; road: 1 correct, 2 true, 2 predicted
    sky, road = 100 * 1 / 5, 100 * 1 / 3
    assert result.metrics["mIoU"] == pytest.approx((sky + road) / 2, abs=1e-12)
    assert result.metrics["mIoU_unseen"] == pytest.approx(road, abs=1e-12)
    assert result.metrics["pACC"] == pytest.approx(100 * 2 / 6, abs=1e-12)
    assert recorded([0, 0], [0, 0], NAMES).metrics["mIoU_unseen"] is None


def test_seconds_are_those_of_an_image():
    run = recorded([0], [0], NAMES).run
    assert (run.seconds, run.seconds_per_image, run.sessions, run.ranks) == (90.0, 2.0, 3, 2)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (31.25, 31.25, True),
        (31.25, 31.25009, True),
        (31.25, 31.2502, False),
        (31.25, float("nan"), False),
        (31.25, None, False),
        (None, None, True),
    ],
)
def test_a_metric_is_reproduced_within_the_tolerance_only(one, other, is_same):
    base = made_result()
    old, new = (replace(base, metrics={**base.metrics, "mIoU": v}) for v in (one, other))
    assert compare(old, new).same is is_same
    assert compare(new, old).same is is_same
    assert compare(old, new, tolerance=100).same is (is_same or other == 31.2502)


def test_differences():
    assert MetricPair("x", 3.0, 5.5).difference == 2.5
    assert MetricPair("x", None, 5.5).difference == float("inf")
    assert MetricPair("x", None, None).difference == 0

"""Set-based losses against the official criteria, run in their own code on the same numbers."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovss.losses import SetMatching
from ovss.losses.matching import TargetRegions
from ovss.structures import (
    ImageFeatures,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Selection,
    TextFeatures,
)

T, BATCH, QUERIES, LAYERS = 9, 2, 12, 3

MASK2FORMER = {
    "loss_class": 3.3273038552186107,
    "loss_mask": 0.7369822520508679,
    "loss_dice": 0.7428842497533765,
    "loss_class_0": 2.7507220796850347,
    "loss_mask_0": 0.7118921893778744,
    "loss_dice_0": 0.727908253714727,
    "loss_class_1": 3.595739399324693,
    "loss_mask_1": 0.7508902876655613,
    "loss_dice_1": 0.7200655611634371,
}
MASKFORMER = {
    "loss_class": 3.2264545233843815,
    "loss_mask": 0.32558412975185264,
    "loss_dice": 0.6854960689393934,
    "loss_class_0": 2.99689289423358,
    "loss_mask_0": 0.2822784897376026,
    "loss_dice_0": 0.6840205854568687,
    "loss_class_1": 4.317355028209874,
    "loss_mask_1": 0.32527393006888633,
    "loss_dice_1": 0.6899227352625845,
}


def normal(key: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(crc32(key.encode())).standard_normal(shape))


def resized(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def official_targets(*_: object) -> TargetRegions:
    """Regions of the official run; two of the first image have the same category."""
    slots, masks, counts = [], [], (4, 3)
    for image, count in enumerate(counts):
        scores = resized(normal(f"target/{image}", 1, count + 1, 4, 5), (96, 128))
        slots.append(torch.tensor([(3 * i + image) % T for i in range(count)]))
        number = torch.arange(count)[:, None, None]
        masks.append((scores.argmax(1) == number).double())
    return TargetRegions(torch.cat(slots), torch.cat(masks), counts)


def prediction() -> RegionMasks:
    logits = [
        2 * normal(f"class/{i}", BATCH, QUERIES, T + 1).transpose(1, 2) for i in range(LAYERS)
    ]
    masks = [
        3 * resized(normal(f"mask/{i}", BATCH, QUERIES, 6, 8), (24, 32)) for i in range(LAYERS)
    ]
    selection = Selection.everything(BATCH, T)
    valid = torch.ones(BATCH, QUERIES, dtype=torch.bool)
    embed = torch.zeros(BATCH, QUERIES, 1, 1)
    *earlier, last = (Proposals(mask, embed, valid) for mask in masks)
    proposals = Proposals(last.mask_BQhw, embed, valid, earlier=tuple(earlier))
    image = ImageFeatures(torch.zeros(BATCH, 1, 1, 1), torch.zeros(BATCH, 1), proposals=proposals)
    text = TextFeatures(torch.zeros(T, 1, 1))
    *before, now = (
        RegionAlignment(each[:, :-1], each[:, -1], image, text, selection) for each in logits
    )
    aligned = RegionAlignment(
        now.logits_BKQ, now.void_BQ, image, text, selection, earlier=tuple(before)
    )
    share = torch.zeros(BATCH, T, QUERIES)
    return RegionMasks(share, proposals.mask_BQhw, selection, aligned=aligned)


@pytest.fixture(autouse=True)
def regions(monkeypatch):
    monkeypatch.setattr("ovss.losses.set_matching.find_targets", official_targets)


@pytest.fixture
def random_points(monkeypatch):
    """Replaces the random points by those of the official run."""
    calls = []

    def rand(*shape: int, device: object = None) -> torch.Tensor:
        calls.append(shape)
        state = np.random.RandomState(crc32(f"rand/{len(calls) - 1}".encode()))
        return torch.from_numpy(state.random_sample(shape))

    monkeypatch.setattr("ovss.layers.points.torch.rand", rand)
    return calls


def check(found: dict[str, torch.Tensor], expected: dict[str, float], weights: dict[str, float]):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        weight = weights[name.split("_")[1]]
        assert float(found[name]) == pytest.approx(weight * value, rel=1e-7), name


def test_losses_at_points_equal_those_of_mask2former(random_points):
    found = SetMatching()(prediction(), torch.zeros(BATCH, 96, 128, dtype=torch.long))
    check(found, MASK2FORMER, {"class": 2, "mask": 5, "dice": 5})
    layer = [(1, 12544, 2), (1, 12544, 2), (7, 37632, 2), (7, 3136, 2)]
    assert random_points == layer * LAYERS


def test_losses_on_all_pixels_equal_those_of_maskformer():
    criterion = SetMatching(1, 20, 1, points=None, mask_loss="focal")
    found = criterion(prediction(), torch.zeros(BATCH, 96, 128, dtype=torch.long))
    check(found, MASKFORMER, {"class": 1, "mask": 20, "dice": 1})

"""Losses against sums over single pixels, written in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ovss.losses import BinaryCrossEntropy, CrossEntropy
from ovss.structures import IGNORE, Masks, Selection

# The first image keeps category 0, so that an ignored pixel must not be taken for it; the
# second image has a padding slot.
KEEP = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0]], dtype=torch.bool)
LABELS = torch.tensor(
    [
        [[0, 0, IGNORE, 1], [2, 3, 3, IGNORE]],
        [[1, 2, IGNORE, IGNORE], [0, 1, 3, 2]],
    ]
)


@pytest.fixture
def masks() -> Masks:
    logits = 3 * torch.randn(2, 3, *LABELS.shape[1:])
    return Masks(logits, Selection.from_mask(KEEP))


def elements(masks: Masks, image: int, exclude: bool) -> list[float]:
    """Binary cross-entropy of every valid (category, pixel) of an image."""
    found = []
    for slot in range(3):
        if not masks.selection.valid_BK[image, slot]:
            continue
        category = int(masks.selection.index_BK[image, slot])
        for y in range(LABELS.shape[1]):
            for x in range(LABELS.shape[2]):
                label = int(LABELS[image, y, x])
                if exclude and label == IGNORE:
                    continue
                p = 1 / (1 + math.exp(-float(masks.logits_BKHW[image, slot, y, x])))
                found.append(-math.log(p if label == category else 1 - p))
    return found


@pytest.mark.parametrize("ignore", ["negative", "exclude"])
@pytest.mark.parametrize("average", ["batch", "image"])
def test_binary_cross_entropy(masks, ignore, average):
    images = [elements(masks, image, ignore == "exclude") for image in range(2)]
    expected = sum(map(sum, images)) / sum(map(len, images))
    if average == "image":
        expected = sum(sum(each) / len(each) for each in images) / 2
    loss = BinaryCrossEntropy(ignore=ignore, average=average)(masks, LABELS)["loss_mask"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy(masks):
    total, pixels = 0.0, 0
    for image in range(2):
        valid = masks.selection.valid_BK[image].tolist()
        index = masks.selection.index_BK[image].tolist()
        kept = {c: slot for slot, (c, ok) in enumerate(zip(index, valid)) if ok}
        for y in range(LABELS.shape[1]):
            for x in range(LABELS.shape[2]):
                label = int(LABELS[image, y, x])
                if label not in kept:  # ignored, or not kept
                    continue
                logits = masks.logits_BKHW[image, :, y, x].tolist()
                every = sum(math.exp(logits[slot]) for slot in kept.values())
                total -= math.log(math.exp(logits[kept[label]]) / every)
                pixels += 1
    loss = CrossEntropy()(masks, LABELS)["loss_mask"]
    assert float(loss) == pytest.approx(total / pixels, rel=1e-5)


@pytest.mark.parametrize(
    "criterion", [BinaryCrossEntropy(), BinaryCrossEntropy("exclude"), CrossEntropy()]
)
def test_gradients_are_those_of_the_sum_over_pixels(masks, criterion):
    """By finite differences in double precision, which know nothing of the implementation."""
    logits = masks.logits_BKHW.clone().requires_grad_()

    def loss(values: Tensor) -> Tensor:
        return criterion(Masks(values, masks.selection), LABELS)["loss_mask"]

    (gradient,) = torch.autograd.grad(loss(logits), logits)
    for place in ((0, 0, 0, 0), (0, 0, 0, 2), (0, 2, 1, 1), (1, 0, 0, 0), (1, 2, 1, 1)):
        step = torch.zeros_like(logits)
        step[place] = 0.05
        with torch.no_grad():
            slope = float(loss(logits + step) - loss(logits - step)) / 0.1
        assert float(gradient[place]) == pytest.approx(slope, abs=2e-5)


def test_without_labelled_pixels_the_losses_are_zero(masks):
    nothing = torch.full_like(LABELS, IGNORE)
    assert float(BinaryCrossEntropy("exclude")(masks, nothing)["loss_mask"]) == 0
    assert float(CrossEntropy()(masks, nothing)["loss_mask"]) == 0

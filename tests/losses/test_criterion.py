"""Losses against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.registry import LOSSES
from ovss.structures import Masks, Selection


def test_every_image_counts_the_same_if_asked():
    """Each image over its own kept categories, then the mean over images."""
    keep = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    selection = Selection.from_mask(keep)
    logits = torch.randn(2, 4, 3, 5)
    labels = torch.randint(-1, 4, (2, 3, 5))
    losses = []
    for i, count in enumerate((2, 4)):
        index = selection.index_BK[i, :count]
        target = (labels[i][None] == index[:, None, None]).float()
        counted = (labels[i] >= 0).expand(count, -1, -1)
        each = F.binary_cross_entropy_with_logits(logits[i, :count], target, reduction="none")
        losses.append(each[counted].mean())
    criterion = LOSSES.build(dict(type="bce", ignore="exclude", average="image"))
    found = criterion(Masks(logits, selection), labels)["loss_mask"]
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_wrong_average():
    with pytest.raises(ValueError, match="average must be 'batch' or 'image'"):
        LOSSES.build(dict(type="bce", average="pixel"))

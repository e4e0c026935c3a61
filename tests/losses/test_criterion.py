"""Losses against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.interfaces import Criterion
from ovss.models.configs import load_config
from ovss.registry import LOSSES
from ovss.structures import Masks, Selection
from ovss.testing import check_class, make_images, make_sample, with_tiny_encoder


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


def test_a_third_party_registers_its_own_loss(monkeypatch):
    monkeypatch.setattr(LOSSES, "_module_dict", dict(LOSSES.module_dict))

    @LOSSES.register_module()
    class SquaredLogits(Criterion):
        """Mean square of the logits.

        Args:
            scale: factor.
        """

        def __init__(self, scale: float = 1.0) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, masks, labels_BHW):
            return {"loss_square": self.scale * masks.logits_BKHW.square().mean()}

    check_class(SquaredLogits)
    config = load_config("maskclip_mini", {"model.criterion": {"type": "SquaredLogits"}})
    losses = with_tiny_encoder(config)(make_images(1), [make_sample(3)], mode="loss")
    assert list(losses) == ["loss_square"]
    with pytest.raises(TypeError, match="Did you mean 'scale'"):
        LOSSES.build(dict(type="SquaredLogits", scal=2))


def test_a_module_that_is_not_a_criterion_is_refused():
    with pytest.raises(TypeError, match=r"subclasses ovss\.interfaces\.Criterion"):
        LOSSES.register_module(module=torch.nn.L1Loss)

"""Decoders that pool before attention use one factor in training and another in evaluation."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.cat_seg import CATSegDecoder
from ovss_plugins.dpseg import CVGDecoder
from ovss_plugins.sed import GradualDecoder
from torch import nn

from ovss.heads.cosine import CosineHead
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

LEVELS, GRID, TEMPLATES = (5, 6), (4, 6), 2


def cat_seg() -> nn.Module:
    sizes = dict(level_middle=(8, 4), level_guides=(4, 4), stage_dims=(8, 8), pad_length=9)
    return CATSegDecoder(8, LEVELS, TEMPLATES, dim=16, heads=2, window=4, expand=2, **sizes)


def sed() -> nn.Module:
    sizes = dict(stage_dims=(12, 8), guides=(4, 4), kernel=3)
    return GradualDecoder(LEVELS, TEMPLATES, dim=16, heads=2, expand=2, **sizes)


def dpseg(axis: str = "class") -> nn.Module:
    sizes = dict(stage_dims=(12, 8), guides=(4, 4), visual_guides=(3, 2), axis=axis)
    return CVGDecoder(LEVELS, TEMPLATES, dim=16, heads=2, expand=2, **sizes)


def dpseg_spatial() -> nn.Module:
    return dpseg("spatial")


def aligned() -> Alignment:
    dense = torch.randn(1, 8, *GRID)
    levels = tuple(torch.randn(1, dim, *GRID) for dim in LEVELS)
    embeds = F.normalize(torch.randn(3, TEMPLATES, 8), dim=-1)
    text = TextFeatures(embeds, tuple(torch.randn(3, TEMPLATES, dim) for dim in LEVELS))
    image = ImageFeatures(dense, dense.mean((2, 3)), levels)
    return CosineHead(TEMPLATES)(image, text, Selection.everything(1, 3))


def logits(decoder: nn.Module, pool: tuple[int, int], training: bool, inputs: Alignment):
    """Logits of a copy of the decoder with other pooling factors, everywhere."""
    decoder = copy.deepcopy(decoder).train(training)
    for module in decoder.modules():
        if hasattr(module, "pool") and isinstance(module.pool, tuple):
            module.pool = pool
    with torch.no_grad():
        return decoder(inputs).logits_BKHW


@pytest.mark.parametrize("build", [cat_seg, sed, dpseg, dpseg_spatial])
def test_the_first_factor_is_for_training_and_the_second_for_evaluation(build):
    decoder, inputs = build(), aligned()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        found = {t: decoder.train(t)(inputs).logits_BKHW for t in (False, True)}
    torch.testing.assert_close(found[False], logits(decoder, (1, 1), False, inputs))
    torch.testing.assert_close(found[True], logits(decoder, (2, 2), True, inputs))
    assert (found[True] - found[False]).abs().max() > 1e-3, "pooling makes a difference"

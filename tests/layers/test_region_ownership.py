"""Weights of proposals at a pixel: each by itself, in competition, or one owner."""

from __future__ import annotations

import pytest
import torch

from ovss.decoders import ComposeDecoder
from ovss.layers.region_maps import region_maps
from ovss.ops import resize
from ovss.structures import (
    ImageFeatures,
    Padding,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Selection,
    TextFeatures,
)


def weights_of(logits_BQHW: torch.Tensor, ownership: str) -> torch.Tensor:
    if ownership == "sigmoid":
        return logits_BQHW.sigmoid()
    if ownership == "softmax":
        return logits_BQHW.softmax(1)
    return torch.nn.functional.one_hot(logits_BQHW.argmax(1), 4).movedim(-1, 1).float()


@pytest.mark.parametrize("at_input", [False, True])
@pytest.mark.parametrize("ownership", ["sigmoid", "softmax", "hard"])
def test_maps_are_sums_of_weighted_shares(ownership, at_input):
    torch.manual_seed(0)
    share, mask = torch.rand(2, 3, 4), 5 * torch.randn(2, 4, 6, 8)
    masks = RegionMasks(
        share, mask, Selection.everything(2, 3), Padding((12, 16), (12, 16)), at_input, ownership
    )
    first = resize(mask, (12, 16))
    if at_input:
        merged = torch.einsum("bkq,bqhw->bkhw", share, weights_of(first, ownership))
        expected = resize(merged, (20, 30))
    else:
        weights = weights_of(resize(first, (20, 30)), ownership)
        expected = torch.einsum("bkq,bqhw->bkhw", share, weights)
    found = region_maps(masks, (20, 30))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("ownership", ["softmax", "hard"])
def test_invalid_proposals_own_nothing(ownership):
    torch.manual_seed(0)
    mask = torch.randn(1, 3, 4, 4)
    mask[0, 1] = torch.nan
    valid = torch.tensor([[True, False, True]])
    text = TextFeatures(torch.ones(2, 1, 1))

    def maps(keep: slice | list[int]) -> torch.Tensor:
        proposals = Proposals(mask[:, keep], torch.zeros(1, 3, 1, 1)[:, keep], valid[:, keep])
        image = ImageFeatures(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1), proposals=proposals)
        logits = torch.arange(6.0).view(1, 2, 3)[:, :, keep]
        selection = Selection.everything(1, 2)
        aligned = RegionAlignment(logits, torch.zeros(1, 3)[:, keep], image, text, selection)
        return region_maps(ComposeDecoder(ownership=ownership).eval()(aligned), (8, 8))

    torch.testing.assert_close(maps(slice(None)), maps([0, 2]))


def test_unknown_ownership():
    with pytest.raises(ValueError, match="must be one of sigmoid, softmax, hard, got 'all'"):
        ComposeDecoder(ownership="all")

"""Mean of dense tokens under masks, against plain loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.embedders import DensePool
from ovss.structures import ImageFeatures, Padding, Proposals


def made(mask_BQhw, valid=None, padding=None, grid=(4, 4), own=None):
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(len(mask_BQhw), 6, *grid, generator=generator)
    image = ImageFeatures(dense, dense.mean((2, 3)), padding=own)
    valid = torch.ones(mask_BQhw.shape[:2], dtype=torch.bool) if valid is None else valid
    empty = torch.zeros(*mask_BQhw.shape[:2], 0, 6)
    return image, Proposals(mask_BQhw, empty, valid, padding=padding)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_token_counts_by_the_share_of_its_cell(soft, normalize):
    mask = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    image, proposals = made(mask, grid=(4, 4))
    embed, filled = DensePool(soft, normalize)(None, image, torch.zeros(2, 3, 8, 8), proposals)
    tokens = F.normalize(image.dense_BChw, dim=1) if normalize else image.dense_BChw
    for b in range(2):
        for q in range(3):
            weight = mask[b, q].sigmoid() if soft else (mask[b, q] > 0).float()
            total = sum(
                weight[y, x] * tokens[b, :, y // 2, x // 3] for y in range(8) for x in range(12)
            )
            assert torch.allclose(embed[b, q], total / weight.sum(), atol=1e-5)
    assert filled.all()


def test_empty_and_invalid_masks_are_finite_and_not_filled():
    mask = torch.ones(1, 3, 4, 4)
    mask[0, 1] = -1.0
    mask[0, 2] = torch.nan
    image, proposals = made(mask, torch.tensor([[True, True, False]]))
    embed, filled = DensePool()(None, image, torch.zeros(1, 3, 8, 8), proposals)
    assert filled.tolist() == [[True, False, False]]
    assert embed.isfinite().all()


def test_padding_is_left_out_of_masks_and_tokens_separately():
    """The mask covers an input padded on the right; the tokens cover the image itself."""
    mask = torch.ones(1, 1, 4, 8)
    mask[..., :2] = -1.0
    mask[..., 4:] = 1.0  # padding
    image, proposals = made(mask, padding=Padding((32, 64), (32, 32)))
    embed, _ = DensePool()(None, image, torch.zeros(1, 3, 8, 8), proposals)
    assert torch.allclose(embed[0, 0], image.dense_BChw[0, :, :, 2:].mean((1, 2)), atol=1e-6)
    own = Padding((64, 32), (32, 32))
    image, proposals = made(torch.ones(1, 1, 4, 4), own=own)
    embed, _ = DensePool()(None, image, torch.zeros(1, 3, 8, 8), proposals)
    assert torch.allclose(embed[0, 0], image.dense_BChw[0, :, :2].mean((1, 2)), atol=1e-6)

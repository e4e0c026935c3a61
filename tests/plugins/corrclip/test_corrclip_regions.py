"""Regions of CorrCLIP against slow formulas: painting, merging and scope."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.corrclip.regions import (
    compact,
    merge_regions,
    paint,
    region_distances,
    scope_weights,
)
from scipy.sparse.csgraph import connected_components

from ovss.structures import Padding, Proposals


def proposals(masks, valid=None, padding=None):
    logits = torch.where(torch.tensor(masks), 30.0, -30.0)[None]
    valid = torch.ones(1, len(masks), dtype=torch.bool) if valid is None else torch.tensor([valid])
    return Proposals(logits, torch.zeros(1, len(masks), 0, 4), valid, padding=padding)


def test_larger_masks_and_later_masks_lie_above():
    masks = np.zeros((3, 2, 4), dtype=bool)
    masks[0, :, :3], masks[1, :, 1], masks[2, :, 2:] = True, True, True
    assert paint(proposals(masks))[0, 0].tolist() == [3, 3, 3, 2]
    assert paint(proposals(masks), "order")[0, 0].tolist() == [1, 2, 3, 3]
    assert paint(proposals(masks, [False, True, True]))[0, 0].tolist() == [0, 2, 3, 3]
    equal = np.ones((2, 1, 1), dtype=bool)
    assert paint(proposals(equal)).item() == 2
    cropped = paint(proposals(masks, padding=Padding((2, 4), (2, 2))))
    assert cropped.shape == (1, 2, 2)


@pytest.mark.parametrize("eps", [0.05, 0.2, 0.6])
def test_merging_equals_connected_components(eps):
    generator = torch.Generator().manual_seed(int(100 * eps))
    region = torch.randint(0, 12, (4, 60), generator=generator)
    region[1] = region[1].clamp(min=3)  # without cells that are not segmented
    region[2] = region[2] % 2  # two values, which are kept
    unit = F.normalize(torch.randn(4, 60, 3, generator=generator), dim=2)
    number, count = compact(region, 11)
    distance = region_distances(number, count, unit, int(count.max()))
    merged = merge_regions(number, count, distance, eps)
    for one, mine, cells in zip(region, merged, unit, strict=True):
        values = one.unique().tolist()
        expected = {value: index for index, value in enumerate(values)}
        if len(values) > 2:
            means = torch.stack([F.normalize(cells[one == v].mean(0), dim=0) for v in values[1:]])
            cosines = (means @ means.T).numpy()
            _, cluster = connected_components(cosines.max() - cosines <= eps)
            expected = {values[0]: -1} | dict(zip(values[1:], cluster.tolist(), strict=True))
        same = torch.tensor([[expected[int(a)] == expected[int(b)] for a in one] for b in one])
        assert torch.equal(mine[:, None] == mine[None], same)
        assert bool((mine[one == values[0]] == 0).all())


def test_scope_equals_loops():
    generator = torch.Generator().manual_seed(0)
    unit = F.normalize(torch.randn(2, 20, 5, generator=generator), dim=2)
    region = torch.randint(0, 4, (2, 20), generator=generator)
    weights = scope_weights(unit, region, 4.0)
    for b in range(2):
        cosine = unit[b] @ unit[b].T
        for i in range(20):
            row = torch.full((20,), -torch.inf)
            for j in range(20):
                both = region[b, i] > 0 and region[b, j] > 0
                inside = region[b, i] == region[b, j] if both else cosine[i, j] > cosine.mean()
                if inside:
                    row[j] = 4 * cosine[i, j]
            torch.testing.assert_close(weights[b, i], row.softmax(0))


def test_a_constant_image_has_weights():
    unit = torch.ones(1, 6, 1)
    assert bool(scope_weights(unit, torch.zeros(1, 6, dtype=torch.long), 4.0).isfinite().all())

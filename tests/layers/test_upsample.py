"""Guided upsampling against the plain order of things."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.layers.upsample import GuidedUpsample


@pytest.mark.parametrize(("guide", "skip"), [(3, 0), (3, 2), (0, 2), (0, 0)])
def test_what_joins_is_concatenated(guide, skip):
    """Enlarged map, then each map's own skip, then the guidance that all share."""
    stage = GuidedUpsample(6, 4, guide, 8, skip)
    for parameter in stage.parameters():
        torch.nn.init.normal_(parameter)
    x, skips = torch.randn(5, 6, 4, 3), torch.randn(5, skip, 8, 6)
    shared = torch.randn(1, guide, 8, 6)
    joined = torch.cat([stage.enlarge(x), skips, shared.expand(5, -1, -1, -1)], 1)
    expected = F.relu(stage.norm1(stage.conv1(joined)))
    expected = F.relu(stage.norm2(stage.conv2(expected)))
    offset = stage.offset(shared)[0] if guide else None
    found = stage(x, offset, skips if skip else None)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    kernel, added = stage.composed((8, 6))
    offset = added if offset is None else added + offset
    found = stage(x, offset, skips if skip else None, kernel)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

"""Modules built for their shapes are the same as on the meta device, apart from the time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ovss.io.shapes_only import shapes_only


def described(module: nn.Module) -> dict[str, tuple]:
    tensors = {**module.state_dict(), **dict(module.named_buffers())}
    return {name: (x.shape, x.dtype, x.device, x.requires_grad) for name, x in tensors.items()}


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.TransformerEncoderLayer(16, 2),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)),
        lambda: nn.Embedding(5, 3, padding_idx=0),
    ],
    ids=["transformer", "convolution", "embedding"],
)
def test_shapes_are_those_of_the_meta_device(make):
    with torch.device("meta"):
        expected = described(make())
    with shapes_only():
        assert described(make()) == expected


def test_initialisation_that_draws_in_place_is_skipped():
    with shapes_only():
        weight = nn.Parameter(torch.empty(3, 2))
        assert nn.init.trunc_normal_(weight, std=0.02) is weight
        assert nn.init.xavier_uniform_(weight) is weight


def test_tensors_with_values_are_filled_as_usual():
    with shapes_only():
        row = torch.empty(3, device="cpu").fill_(2.0).mul_(3)
        nn.init.constant_(half := torch.empty(2, device="cpu"), 0.5)
    assert row.tolist() == [6.0] * 3
    assert half.tolist() == [0.5] * 2


def test_initialisation_is_back_after_the_context():
    with pytest.raises(RuntimeError, match="stop"), shapes_only():
        raise RuntimeError("stop")
    layer: Tensor = nn.Linear(4, 4).weight
    assert layer.device.type == "cpu"
    assert layer.any()

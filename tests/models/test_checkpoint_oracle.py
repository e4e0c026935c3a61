"""Weights of another model are refused whole, whichever way they differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ovss.models.checkpoint import CheckpointError, load_weights, write_weights


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.pop("1.running_mean"), r"1 missing: 1\.running_mean"),
        (lambda own: own.update({"2.weight": torch.ones(1)}), r"1 unexpected: 2\.weight"),
        (lambda own: own.update({"0.bias": torch.ones(5)}), r"1 of another shape: 0\.bias \(5,\)"),
    ],
)
def test_nothing_is_loaded_if_one_tensor_does_not_fit(tmp_path, change, message):
    own = values(model())
    change(own)
    path = tmp_path / "w.safetensors"
    write_weights({name: value + 1 for name, value in own.items()}, path)
    target = model()
    before = values(target)
    with pytest.raises(CheckpointError, match=message):
        load_weights(target, path)
    after = target.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_every_tensor_is_loaded(tmp_path):
    source, target = model(), model()
    write_weights(values(source), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    loaded = target.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in values(source).items())

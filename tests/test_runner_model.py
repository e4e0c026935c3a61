"""Contract of mmengine's Runner: the segmentor does what `mmengine.model.BaseModel` does."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from ovss.runner_model import RunnerModel, total_loss


class Forward:
    """Forward pass that both models share."""

    def forward(self, inputs, data_samples=None, mode="tensor"):
        value = self.weight * torch.stack(list(inputs)).mean()
        if mode == "loss":
            return {"loss_a": value, "loss_b": [value, value.expand(3)], "accuracy": value * 2}
        return [mode, value]


class Ours(Forward, RunnerModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))


class Theirs(Forward, BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))


class Optimizer:
    """Stand-in for mmengine's wrapper of an optimizer."""

    def optim_context(self, model):
        return nullcontext()

    def update_params(self, loss):
        self.loss = loss
        loss.backward()


def test_steps_equal_those_of_base_model():
    data = {"inputs": [torch.ones(3), torch.zeros(3)]}
    ours, theirs, optimizers = Ours(), Theirs(), [Optimizer(), Optimizer()]
    logs = [m.train_step(dict(data), o) for m, o in zip((ours, theirs), optimizers, strict=True)]
    assert list(logs[0]) == list(logs[1])
    for name, value in logs[1].items():
        assert torch.equal(logs[0][name], value), name
    assert torch.equal(ours.weight.grad, theirs.weight.grad)
    for step in ("val_step", "test_step"):
        assert getattr(ours, step)(dict(data)) == getattr(theirs, step)(dict(data))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_batches_move_to_the_device_of_the_model():
    model = Ours().to("meta")
    prepared = model.data_preprocessor({"inputs": [torch.ones(3)]}, False)
    assert prepared["inputs"][0].is_meta


def test_init_cfg_initialises_the_weights():
    model = RunnerModel(init_cfg={"type": "Constant", "layer": "Linear", "val": 3.0})
    model.part = nn.Linear(2, 2)
    model.init_weights()
    assert (model.part.weight == 3).all()


def test_a_loss_of_another_type_is_an_error():
    with pytest.raises(TypeError, match="'loss_a' must be a tensor or a list of tensors, got int"):
        total_loss({"loss_a": 3})

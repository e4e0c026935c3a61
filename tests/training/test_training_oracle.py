"""Parts of training against formulas: rates, clipping, micro-batches, groups, seeds and shares."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from ovss.models.configs import config_dir, read_config
from ovss.training.batch import share_of_batch
from ovss.training.hooks import StepSeedHook
from ovss.training.loop import train_step
from ovss.training.optim import NamedRules
from ovss.training.precision import GuardedOptimWrapper


def test_the_shared_schedule_is_half_a_cosine():
    config = read_config(config_dir() / "_base_" / "schedules" / "adamw_cosine.py")
    parameters = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (1e-3, 1e-4)]
    optimizer, steps = torch.optim.SGD(parameters), 10
    (block,) = config.param_scheduler
    schedule = PARAM_SCHEDULERS.build(
        {**block, "end": steps}, default_args={"optimizer": optimizer}
    )
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, (1e-3, 1e-4), strict=True):
            expected = rate * (1 + math.cos(math.pi * step / steps)) / 2
            assert group["lr"] == pytest.approx(expected, rel=1e-6, abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("largest", [0.5, 1.0, 100.0])
def test_gradients_are_scaled_to_the_largest_norm(largest):
    weight = nn.Parameter(torch.zeros(2))
    wrapper = GuardedOptimWrapper(
        torch.optim.SGD([weight], lr=1.0), clip_grad={"max_norm": largest}
    )
    wrapper.update_params((weight * torch.tensor([3.0, 4.0])).sum())
    scale = min(1.0, largest / 5)
    assert weight.tolist() == pytest.approx([-3 * scale, -4 * scale], rel=1e-4)


class MeanModel(nn.Module):
    """Model whose loss of a batch is the mean of w x over its images."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def data_preprocessor(self, data, training):
        return data

    def forward(self, inputs, mode):
        return {"loss_mask": (self.w * inputs).mean()}

    def parse_losses(self, losses):
        return losses["loss_mask"], {"loss": losses["loss_mask"], **losses}


@pytest.mark.parametrize("micro_batch", [None, 1, 2, 3, 6])
def test_every_image_of_a_step_weighs_the_same(micro_batch):
    model = MeanModel()
    wrapper = GuardedOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    x = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    log = train_step(model, wrapper, {"inputs": x}, micro_batch)
    assert float(log["loss"]) == pytest.approx(10.5)
    assert float(model.w.detach()) == pytest.approx(1 - 10.5)
    train_step(model, wrapper, {"inputs": x}, micro_batch)
    assert float(model.w.detach()) == pytest.approx(1 - 2 * 10.5), "gradients start at zero"


class Small(nn.Module):
    """Model with nested names, a norm, an embedding and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        parts = {"text": nn.Linear(2, 3), "norm": nn.LayerNorm(4), "rest": nn.Linear(1, 2)}
        self.encoder = nn.ModuleDict(parts)
        self.text = nn.Embedding(5, 2)
        self.encoders = nn.Linear(1, 1)
        self.frozen = nn.Linear(7, 7).requires_grad_(False)


def test_rules_by_name_norms_and_frozen_parameters():
    optimizer = {"type": "OptimWrapper", "optimizer": dict(type="AdamW", lr=1.0, weight_decay=0.5)}
    keys = {
        "encoder": dict(lr_mult=0.1),
        "encoder.text": dict(lr_mult=0.01, decay_mult=2.0),
        "encoder.norm": dict(lr_mult=0.2, norm_decay_mult=0.4),
    }
    model = Small()
    groups = NamedRules(optimizer, dict(custom_keys=keys, norm_decay_mult=0.0))(model).param_groups
    setting = {
        name: (group["lr"], group["weight_decay"])
        for name, parameter in model.named_parameters()
        for group in groups
        if any(parameter is member for member in group["params"])
    }
    assert setting == {
        "encoder.text.weight": (0.01, 1.0),
        "encoder.text.bias": (0.01, 1.0),
        "encoder.norm.weight": (0.2, 0.2),
        "encoder.norm.bias": (0.2, 0.2),
        "encoder.rest.weight": (0.1, 0.5),
        "encoder.rest.bias": (0.1, 0.5),
        "text.weight": (1.0, 0.0),
        "encoders.weight": (1.0, 0.5),
        "encoders.bias": (1.0, 0.5),
    }


def drawn(seed: int, rank: int, iteration: int) -> tuple:
    runner = SimpleNamespace(seed=seed, rank=rank, iter=iteration)
    StepSeedHook().before_train_iter(runner, 0)
    return float(torch.rand(())), float(np.random.rand())


def test_random_numbers_of_a_step_depend_on_seed_rank_and_iteration_alone():
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2)]
    first = [drawn(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [drawn(*place) for place in reversed(places)] == first[::-1]


@pytest.mark.parametrize(("total", "ranks", "share"), [(8, 1, 8), (8, 4, 2), (6, 3, 2), (4, 4, 1)])
def test_ranks_share_a_batch(total, ranks, share):
    assert share_of_batch({"batch_size": total}, {}, ranks) == share


@pytest.mark.parametrize(
    ("total", "ranks", "micro", "message"),
    [
        (8, 3, None, r"Start 1 or 2 or 4 or 8 ranks, or change the batch size to 9"),
        (2, 4, None, r"Start 1 or 2 ranks, or change the batch size to 4"),
        (12, 2, 4, r"does not divide the 6 images of each rank. Set 1 or 2 or 3 or 6"),
        (0, 1, None, "at least 1, got 0"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(total, ranks, micro, message):
    with pytest.raises(ValueError, match=message):
        share_of_batch({"batch_size": total}, {"micro_batch": micro}, ranks)

"""The training recipe of SAN, as the authors' configs and their printed table have it."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from ovss.benchmark.complexity import on_meta
from ovss.data import transform_registry
from ovss.models.configs import load_config
from ovss.training.build import register_training
from ovss.training.optim import NamedRules


@pytest.mark.parametrize("size", ["b16", "l14"])
def test_one_rate_for_all_and_no_decay_of_norms_positions_and_queries(size):
    config = load_config(f"san_vit-{size}")
    model = on_meta(config)
    wrapper = dict(config.optim_wrapper)
    groups = NamedRules(wrapper, dict(wrapper.pop("paramwise_cfg"))).groups(model)
    setting = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    decays = {n: setting[id(p)][1] for n, p in model.named_parameters() if p.requires_grad}
    assert {rate for rate, _ in setting.values()} == {1e-4}
    free = {name for name, decay in decays.items() if decay == 0}
    norms = {f"encoder.side.blocks.{i}.norm{k}.{leaf}" for i in range(8) for k in (1, 2)
             for leaf in ("weight", "bias")}  # fmt: skip
    assert free == norms | {
        "encoder.clip.visual.positional_embedding",
        "encoder.side.positions",
        "encoder.side.queries",
        "encoder.side.query_positions",
    }
    assert {decay for decay in decays.values()} == {0, 1e-4}
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)


def test_the_learning_rate_falls_by_a_power():
    register_training()
    config = load_config("san_vit-b16")
    assert len(config.param_scheduler) == 1, "no warm-up"
    assert (config.train_cfg.max_iters, config.train_dataloader.batch_size) == (60000, 32)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1e-4)
    scheduler = PARAM_SCHEDULERS.build({**config.param_scheduler[0], "optimizer": optimizer})
    for step in range(200):
        expected = 1e-4 * (1 - step / 60000) ** 0.9
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6)
        optimizer.step()
        scheduler.step()


def test_images_have_one_of_eleven_sizes_before_the_crop():
    edge, crop, *_ = load_config("san_vit-b16").train_dataloader.dataset.pipeline
    assert crop == dict(type="RandomCrop", crop_size=(640, 640))
    sizes = [step["size"] for (step,) in edge.transforms]
    assert sizes == [int(0.1 * k * 640) for k in range(5, 16)]
    assert {step["max_size"] for (step,) in edge.transforms} == {2560}
    assert len(transform_registry().build(edge).transforms) == 11

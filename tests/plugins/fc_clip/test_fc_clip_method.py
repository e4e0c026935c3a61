"""Sizes and recipe of FC-CLIP."""

from __future__ import annotations

import pytest

from ovss.benchmark.complexity import on_meta
from ovss.models.configs import load_config
from ovss.protocols.named import find_protocol
from ovss.training.optim import NamedRules, _trainable


@pytest.mark.parametrize(
    ("size", "total", "trained"),
    [("b", 199_751_362, 20_366_017), ("l", 372_494_210, 20_721_601)],
)
def test_numbers_of_parameters(size, total, trained):
    model = on_meta(load_config(f"fc_clip_convnext-{size}"))
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_which_parameters_decay():
    config = load_config("fc_clip_convnext-b")
    model = on_meta(config)
    wrapper = dict(config.optim_wrapper)
    rules = dict(wrapper.pop("paramwise_cfg"))
    groups = NamedRules(wrapper, rules).groups(model)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {group["lr"] for group in groups} == {1e-4}
    queries = "encoder.proposer.queries."
    free = {f"{queries}{name}.weight" for name in ("content", "position", "level")}
    for name, parameter, is_exempt in _trainable(model):
        expected = 0.0 if is_exempt or name == "head.void" else 0.05
        assert decay[id(parameter)] == expected, name
        assert is_exempt or name not in free
    assert decay[id(model.head.log_scale)] == 0.05
    assert decay[id(model.encoder.proposer.pixels.level_LD)] == 0.05


def test_steps_and_crops():
    config = load_config("fc_clip_convnext-l")
    flip, jitter, crop, pad, _ = config.train_dataloader.dataset.pipeline
    assert flip == dict(type="RandomFlip", prob=0.5)
    assert jitter == dict(type="ScaleJitter", size=1024, ratio=(0.1, 2.0))
    assert crop == dict(type="RandomCrop", crop_size=(1024, 1024))
    assert pad == dict(type="Pad", size=(1024, 1024), pad_val=dict(img=128, seg=-1))
    assert (config.train_dataloader.batch_size, config.train_cfg.max_iters) == (16, 368750)
    (schedule,) = config.param_scheduler
    assert (schedule.milestones, schedule.gamma) == ([327778, 355092], 0.1)
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)


def test_prompts_and_inference_are_those_of_the_protocol():
    config = load_config("fc_clip_convnext-b")
    template = find_protocol("fc_clip").template
    assert config.model.prompts.synonyms == template.prompts.synonyms == "max"
    inference = config.model.inference
    assert (inference.size, inference.longest) == (template.canvas.size, template.canvas.longest)

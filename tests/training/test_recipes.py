"""What the papers' trainings are made of: colours, schedule, who learns how, crops."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, PARAM_SCHEDULERS

from ovss.data import transform_registry
from ovss.io.shapes_only import shapes_only
from ovss.models.configs import load_config
from ovss.training.build import register_training
from ovss.training.optim import NamedRules, _trainable

FULL = {
    "cat_seg_vit-b16": 384,
    "cat_seg_vit-l14": 384,
    "dcp_clip_vit-b16": 384,
    "dcp_clip_vit-l14": 384,
    "sed_convnext-b": 768,
    "sed_convnext-l": 768,
    "dpseg_convnext-b": 768,
    "dpseg_convnext-l": 768,
}


def ssd_written_out(image_HW3: np.ndarray) -> np.ndarray:
    """detectron2's rule in its own channel order (BGR), with the same draws."""

    def convert(x, alpha=1.0, beta=0.0):
        return np.clip(x.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)

    def coin():
        return np.random.randint(2)

    def contrast(x):
        return convert(x, alpha=np.random.uniform(0.5, 1.5)) if coin() else x

    def saturation(x):
        if coin():
            x = cv2.cvtColor(x, cv2.COLOR_BGR2HSV)
            x[:, :, 1] = convert(x[:, :, 1], alpha=np.random.uniform(0.5, 1.5))
            x = cv2.cvtColor(x, cv2.COLOR_HSV2BGR)
        return x

    def hue(x):
        if coin():
            x = cv2.cvtColor(x, cv2.COLOR_BGR2HSV)
            x[:, :, 0] = (x[:, :, 0].astype(int) + np.random.randint(-18, 19)) % 180
            x = cv2.cvtColor(x, cv2.COLOR_HSV2BGR)
        return x

    x = image_HW3[:, :, ::-1].copy()
    if coin():
        x = convert(x, beta=np.random.uniform(-32, 32))
    order = (contrast, saturation, hue) if coin() else (saturation, hue, contrast)
    for change in order:
        x = change(x)
    return x[:, :, ::-1]


def test_colours_are_detectron2s():
    image = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    ours = transform_registry().build(dict(type="ColorAugSSD"))
    changed = 0
    for seed in range(64):
        np.random.seed(seed)
        expected = ssd_written_out(image)
        np.random.seed(seed)
        found = ours.transform({"img": image.copy()})["img"]
        assert np.array_equal(found, expected), seed
        changed += not np.array_equal(found, image)
    assert changed > 50


def test_the_learning_rate_is_half_a_cosine_over_all_steps():
    register_training()
    config = load_config("cat_seg_vit-b16")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2e-4)
    options = {**config.param_scheduler[0], "end": 100}
    scheduler = PARAM_SCHEDULERS.build({**options, "optimizer": optimizer})
    for step in range(100):
        expected = 2e-4 * 0.5 * (1 + math.cos(math.pi * step / 100))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9, abs=1e-15)
        optimizer.step()
        scheduler.step()
    assert len(config.param_scheduler) == 1, "no warm-up"


@pytest.mark.parametrize("name", FULL)
def test_crops_batch_and_steps(name):
    config = load_config(name)
    size = FULL[name]
    edge, crop, color, flip, pad, _ = config.train_dataloader.dataset.pipeline
    bound = {384: 1333, 768: 2666}[size]
    assert edge == dict(type="ShortestEdge", size=size, max_size=bound)
    assert crop == dict(type="RandomCrop", crop_size=(size, size))
    assert (color, flip) == (dict(type="ColorAugSSD"), dict(type="RandomFlip", prob=0.5))
    assert pad == dict(type="Pad", size=(size, size), pad_val=dict(img=128, seg=-1))
    assert (config.train_dataloader.batch_size, config.train_cfg.max_iters) == (4, 80000)
    assert config.train_cfg.val_interval == {384: 5000, 768: 10000}[size]
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)
    assert config.get("ema") is None
    assert config.matmul_precision == "high"


@pytest.mark.parametrize("name", [name for name in FULL if name.endswith(("b16", "-b"))])
def test_who_learns_how(name):
    register_training()
    config = load_config(name)
    encoder = config.model.encoder.get("encoder", config.model.encoder)
    encoder.pretrained = None
    if "bank" in config.model.encoder:
        config.model.encoder.bank = None
    with shapes_only():
        model = MODELS.build(config.model)
    wrapper = dict(config.optim_wrapper)
    rules = dict(wrapper.pop("paramwise_cfg"))
    groups = NamedRules(wrapper, rules).groups(model)
    setting = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for key, parameter, is_norm in _trainable(model):
        rate = 2e-6 if key.startswith("encoder.") else 2e-4
        # SED's own LayerNorm class is none of those that its authors' rule exempts
        exempt = is_norm and not (name.startswith("sed") and ".space.norm." in key)
        assert setting[id(parameter)] == pytest.approx((rate, 0.0 if exempt else 1e-4)), key
    biases = [k for k, _, is_norm in _trainable(model) if k.endswith("bias") and not is_norm]
    assert biases, "biases decay"

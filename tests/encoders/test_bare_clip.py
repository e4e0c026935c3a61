"""CLIP's modules without open_clip: same names, shapes and features as open_clip's own."""

from __future__ import annotations

import subprocess
import sys

import open_clip
import pytest
import torch

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.architecture import build_clip, read_model_config
from ovss.encoders.bare_clip import BareCLIP, can_build_bare
from ovss.encoders.tokenizer import Tokenizer
from ovss.encoders.vit import image_features
from ovss.io.deferred import weights_come_later

TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": [32, 48], "patch_size": 8, "width": 32, "layers": 2,
                   "head_width": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2},
}  # fmt: skip
VARIANTS = {
    "plain": {},
    "custom text": {"custom_text": True, "init_logit_bias": -10},
    "scaled": {"vision_cfg": {"ls_init_value": 0.1, "no_ln_pre": True, "pool_type": "avg",
                              "final_ln_after_pool": True, "norm_kwargs": {"eps": 1e-3}},
               "text_cfg": {"ls_init_value": 0.1, "proj_bias": True, "no_causal_mask": True,
                            "pool_type": "last"}},
    "no projection": {"text_cfg": {"proj_type": "none"}, "nonscalar_logit_scale": True},
}  # fmt: skip


def config_of(changes: dict) -> dict:
    config = {**TINY, **changes}
    for side in ("vision_cfg", "text_cfg"):
        config[side] = {**TINY[side], **changes.get(side, {})}
    return config


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_names_shapes_and_features_are_those_of_open_clip(changes):
    config = config_of(changes)
    torch.manual_seed(0)
    ours, theirs = build_clip(config, fill=False), build_clip(config)
    assert isinstance(ours, BareCLIP)
    assert not isinstance(theirs, BareCLIP)
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in ours.state_dict().items()} == shapes
    ours.load_state_dict(theirs.state_dict())
    image_B3HW = torch.rand(2, 3, 40, 48)
    dense = OpenCLIPEncoder("mini_clip").dense
    with torch.no_grad():
        found, expected = (image_features(c.visual, image_B3HW, dense) for c in (ours, theirs))
    torch.testing.assert_close(found.dense_BChw, expected.dense_BChw, rtol=0, atol=0)
    torch.testing.assert_close(found.pooled_BC, expected.pooled_BC, rtol=0, atol=0)
    masks = (dict(c.named_buffers()) for c in (ours, theirs))
    for own, other in zip(*(each.values() for each in masks), strict=True):
        assert torch.equal(own, other)


def test_architectures_with_other_parts_are_built_by_open_clip():
    assert can_build_bare(read_model_config("ViT-B-16"))
    assert can_build_bare(read_model_config("ViT-L-14-336-quickgelu"))
    for name in ("convnext_base", "RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP", "roberta-ViT-B-32"):
        assert not can_build_bare(read_model_config(name)), name


def test_a_model_whose_checkpoint_follows_is_built_bare():
    with weights_come_later():
        assert isinstance(OpenCLIPEncoder("mini_clip").clip, BareCLIP)
    assert not isinstance(OpenCLIPEncoder("mini_clip").clip, BareCLIP), "random weights are drawn"


def test_the_tokenizer_alone_gives_the_ids_of_open_clip():
    code = (
        "import sys; from ovss.encoders.tokenizer import Tokenizer; t = Tokenizer({});"
        "print(t('a photo of a Café, don\\'t'), t.fingerprint, 'open_clip' in sys.modules)"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    tokenizer = Tokenizer({})
    assert open_clip.__name__ in sys.modules
    ids = tokenizer("a photo of a Café, don't")
    assert out == [*str(ids).split(), tokenizer.fingerprint, "False"]

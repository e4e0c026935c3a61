"""Configs that mix the parts of methods: properties beyond the laws that all methods obey."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ovss.benchmark.complexity import complexity
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config, shipped_configs
from ovss.registry import ENCODERS
from ovss.testing import check_method, make_images, make_names, with_tiny_encoder

MIXED = [name for name, path in shipped_configs().items() if path.parent.name == "mixed"]


@pytest.mark.parametrize("name", MIXED)
def test_ten_lines_are_enough(name):
    code = shipped_configs()[name].read_text().split('"""')[2]
    assert len(code.strip().splitlines()) < 10


@torch.inference_mode()
def test_rejection_narrows_what_the_selector_kept():
    model = with_tiny_encoder(load_config("sed_dcs_mini", {"model.decoder.top_k": 1}))
    image = model.encoder.encode_image(make_images(2))
    text = model.encode_vocabulary(make_names(40))
    kept_BT = model.selector(image, text).mask()
    left_BT = model.segment(image, text).selection.mask()
    assert not (left_BT & ~kept_BT).any()
    assert left_BT.sum() < kept_BT.sum() < kept_BT.numel()


@pytest.mark.parametrize("name", ["cat_seg_dcs_mini", "cat_seg_tags_mini"])
def test_shipped_weights_fit_untouched(name):
    mixed, plain = build_segmentor(name), build_segmentor("cat_seg_mini")
    expected = plain.state_dict()
    found = mixed.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


# -- CAT-Seg's decoder on levels finer than the grid ----------------------------------------------

NARROW = {"dim": 16, "pad_length": 8, "level_middle": (8, 8), "level_guides": (4, 4),
          "stage_dims": (8, 8), "window": 3}  # fmt: skip
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 96, "timm_model_name": "test_convnext",
                   "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}  # fmt: skip


def test_cat_seg_on_convnext_obeys_the_laws():
    options = {f"model.decoder.{key}": value for key, value in NARROW.items()}
    config = load_config("cat_seg_convnext-b", options)
    config.model.inference = {"mode": "whole", "size": 96}
    assert with_tiny_encoder(config).encoder.level_scales == (2, 4)
    check_method(config)


def test_cat_seg_on_a_real_convnext(tmp_path):
    """A tiny ConvNeXt of open_clip computes masks, with gradients to the guiding stages."""
    tiny = tmp_path / "tiny.json"
    tiny.write_text(json.dumps(TINY))
    config = load_config("cat_seg_convnext-b")
    config.model.encoder.update(model=str(tiny), pretrained=None, image_size=128)
    dims = ENCODERS.build(config.model.encoder.to_dict()).level_dims
    config.model.decoder.update(joint_dim=16, level_dims=dims, **NARROW)
    model = build_segmentor(config, weights=None)
    image = model.encoder.encode_image(make_images(1, 128))
    masks = model.segment(image, model.encode_vocabulary(make_names(3)))
    assert masks.logits_BKHW.shape == (1, 3, 16, 16)
    masks.logits_BKHW.square().sum().backward()
    for stage in model.encoder.clip.visual.trunk.stages[1:3]:
        assert any(p.grad is not None and p.grad.any() for p in stage.parameters())


@torch.inference_mode()
def test_detail_between_the_cells_of_the_grid_reaches_the_masks():
    model = with_tiny_encoder(load_config("cat_seg_mini"))
    image, text = model.encoder.encode_image(make_images(1)), model.encode_vocabulary(make_names(3))
    even = tuple(level.repeat_interleave(2, 2).repeat_interleave(2, 3) for level in image.levels)
    wave_2w = torch.tensor([1.0, -1.0]).repeat(even[0].shape[-1] // 2)
    rippled = tuple(level + wave_2w for level in even)  # the same means
    one = model.segment(replace(image, levels=even), text).logits_BKHW
    other = model.segment(replace(image, levels=rippled), text).logits_BKHW
    assert (one - other).abs().max() > 1e-3


def test_full_size_computes_without_memory():
    cost = complexity(load_config("cat_seg_convnext-b"), make_names(20))
    assert (cost.views, cost.view) == (5, (384, 384))
    assert cost.stages["decoder"].per_view > 0

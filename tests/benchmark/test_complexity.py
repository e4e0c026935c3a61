"""Counts that can be checked by hand, and the published sizes."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ovss.benchmark.complexity import complexity, count_parameters, counted, on_meta
from ovss.benchmark.stage_walk import views_of
from ovss.cli import main
from ovss.inference import InferenceConfig
from ovss.layers.linear import linear
from ovss.models.configs import load_config


@pytest.mark.parametrize(
    ("name", "total", "learnable"),
    [
        ("cat_seg_vit-b16", 154_289_378, 25_115_873),
        ("cat_seg_vit-l14", 433_726_946, 70_270_177),
        ("sed_convnext-b", 180_761_741, 89_598_220),
        ("sed_convnext-l", 353_245_773, 201_243_980),
    ],
)
def test_published_sizes(name, total, learnable):
    assert count_parameters(on_meta(load_config(name))) == (total, learnable)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fused_attention_is_counted(device):
    query = torch.randn(2, 4, 9, 8, device=device)
    with counted() as counter:
        F.scaled_dot_product_attention(query, query, query)
    assert counter.get_total_flops() == 2 * 2 * (2 * 4 * 9 * 9 * 8)


def test_the_fast_path_of_multihead_attention_is_counted():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 5, 8)
    with counted() as counter:
        attention(x, x, x, need_weights=False)
    assert counter.get_total_flops() == 2 * (5 * 8 * 8 * 4) + 2 * 2 * (2 * 5 * 5 * 4)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_linear_maps_are_counted_whichever_kernel_they_go_to(device):
    rows, weight = (torch.zeros(*shape, device=device) for shape in ((2, 576, 64), (150, 64)))
    with counted() as counter:
        linear(rows, weight)
    assert counter.get_total_flops() == 2 * (2 * 576 * 64 * 150)


def test_a_selector_costs_its_cosines():
    cost = complexity(load_config("dcp_clip_vit-b16"), ("cat", "dog", "sofa") * 50, kept=32)
    assert cost.stages["selector"].per_view == 2 * 150 * 512 * (576 + 1)


def test_views_of_an_image():
    slide = InferenceConfig(mode="slide", size=640, window=384, stride=256)
    assert views_of(slide, 480, 640) == (5, (384, 384))
    assert views_of(InferenceConfig(mode="whole"), 480, 640) == (1, (480, 640))


def test_stages_of_the_base_model():
    """Against counts by hand: ViT-B on 577 tokens, values only in the last block."""
    names = tuple(f"thing {i}" for i in range(300))
    cost = complexity(load_config("cat_seg_vit-b16"), names)
    assert cost.kept == 256
    tokens, width = 577, 768
    block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    last = 2 * tokens * 10 * width**2
    edges = 2 * 576 * width * 768 + 2 * tokens * width * 512
    assert cost.stages["encoder"].per_view == pytest.approx(11 * block + last + edges, rel=2e-3)
    assert cost.stages["encoder"].per_image == 5 * cost.stages["encoder"].per_view
    assert cost.stages["head"].per_view == 2 * 256 * 512 * 576
    fewer = complexity(load_config("cat_seg_vit-b16"), names, kept=128)
    ratio = cost.stages["decoder"].per_view / fewer.stages["decoder"].per_view
    assert 1.8 < ratio < 2, "the decoder's cost follows the kept categories"


def test_stages_of_the_hierarchical_model():
    """Against the authors' modules: 361.7 GFLOPs of encoder, 0.059 of cosines per category."""
    config = load_config("sed_convnext-b", {"model.decoder.top_k": 8})
    cost = complexity(config, ("cat", "dog", "sofa"))
    assert cost.views == 1
    assert cost.stages["encoder"].per_view == pytest.approx(361.7e9, rel=2e-3)
    assert cost.stages["head"].per_view == 2 * 3 * 80 * 640 * 576
    assert cost.stages["decoder"].per_view > 3 * 2e9, "without values no category is rejected"


def test_kept_out_of_range():
    with pytest.raises(ValueError, match="between 1 and 2 kept categories"):
        complexity(load_config("cat_seg_vit-b16"), ("a", "b"), kept=3)


def test_the_command_gives_json(capsys):
    assert main(["complexity", "cat_seg_mini", "--categories", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["categories"] == 7
    assert found["stages"]["decoder"]["per_view"] > 0
    assert "2 x" in found["convention"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--categories", "5", "--kept", "6"], "between 1 and 5 kept categories"),
        (["--vocabulary", "ade20k_15"], "ade20k_150"),
    ],
)
def test_bad_counts_are_errors(capsys, flags, message):
    assert main(["complexity", "cat_seg_mini", *flags]) == 1
    assert message in capsys.readouterr().err

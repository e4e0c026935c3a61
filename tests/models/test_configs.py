"""Every config builds, trains a step and predicts with a tiny encoder; real ones on meta."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ovss.io.shapes_only import shapes_only
from ovss.models.build import build_model, build_segmentor
from ovss.models.configs import config_dir, find_config, load_config, shipped_configs
from ovss.models.parts import model_without_pretrained
from ovss.registry import ENCODERS
from ovss.testing import loss_and_prediction_work, with_tiny_encoder

NAMES = sorted(shipped_configs())
ABLATIONS = sorted(map(str, config_dir().glob("*/ablations/*.py")))


@pytest.mark.parametrize("name", NAMES + ABLATIONS)
def test_loss_and_predict_with_a_tiny_encoder(name):
    loss_and_prediction_work(with_tiny_encoder(load_config(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_method_builds_on_the_meta_device(name):
    config = model_without_pretrained(load_config(name).model.to_dict())
    with shapes_only():
        model = build_model(config)
    assert sum(p.numel() for p in model.parameters()) > 0
    # what an encoder trains is in CLIP, in a backbone that loads a file of its own, or `learned`
    known = ("clip.", "vision.", "backbone.", "sam.", "encoder.clip.", *model.encoder.learned)
    names = [name for name, p in model.encoder.named_parameters() if p.requires_grad]
    assert [name for name in names if not name.startswith(known)] == []


@pytest.mark.parametrize("name", NAMES)
def test_headers_say_what_a_reader_needs(name):
    text = find_config(name).read_text()
    assert text.startswith('"""')
    assert "ovss " in text.split('"""')[1], "the header shows a command to run"


@pytest.mark.parametrize("name", NAMES + ABLATIONS)
def test_bases_are_at_most_two_deep(name):
    """Rows of an ablation stand on a config of the world that they are trained on: one more."""
    assert depth(find_config(name)) <= (3 if name in ABLATIONS else 2)


def depth(path: Path) -> int:
    files: list[str] = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_base_":
            bases = ast.literal_eval(node.value)
            files = [bases] if isinstance(bases, str) else bases
    return max((1 + depth((path.parent / file).resolve()) for file in files), default=0)


def test_a_component_is_swapped_by_inheritance(tmp_path):
    child = tmp_path / "mine.py"
    child.write_text(
        f"_base_ = {str(find_config('maskclip_vit-b16'))!r}\n"
        "model = dict(selector=dict(_delete_=True, type='ClipTopK', k=5))\n"
    )
    config = load_config(child, {"model.encoder.pretrained": None})
    assert config.model.selector.to_dict() == dict(type="ClipTopK", k=5)
    assert config.model.encoder.pretrained is None
    assert ENCODERS.find(config.model.encoder.type)


def test_random_weights_need_an_explicit_none():
    overrides = {"model.encoder.pretrained": None, "weights": None}
    config = load_config("cat_seg_mini", overrides)
    with pytest.raises(ValueError, match=r"cat_seg_mini names no trained weights.*decoder.*random"):
        build_segmentor(config)
    assert build_segmentor(config, weights=None).decoder.head.weight.any()
    assert build_segmentor(load_config("maskclip_mini", overrides))


def test_an_encoder_that_is_trained_needs_weights_like_every_part():
    """LSeg trains its image tower: without a checkpoint its masks are noise."""
    with pytest.raises(ValueError, match=r"lseg_mini names no trained weights.*encoder.*random"):
        build_segmentor(load_config("lseg_mini"))

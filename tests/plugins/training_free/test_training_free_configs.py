"""The full-size training-free configs on a photograph, with a small encoder of random weights."""

from __future__ import annotations

import json

import pytest

from ovss.api.inferencer import Inferencer
from ovss.models.configs import list_configs

NAMES = sorted(
    name
    for name, path in list_configs().items()
    if path.parent.name == "training_free" and "mini" not in name
)


TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 224, "layers": 16, "width": 32, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.mark.parametrize("name", NAMES)
def test_runs_on_a_photograph(name, shared_dir, tmp_path):
    tiny = tmp_path / "tiny.json"
    tiny.write_text(json.dumps(TINY))
    overrides = {"model.encoder.model": str(tiny), "model.encoder.pretrained": None}
    steps = {"lposs_vit-b16": "post_processor", "lposs_plus_vit-b16": "post_processor.steps.0"}
    if name in steps:
        vfm = {"model": "vit_tiny_patch16_224", "pretrained": None}
        overrides |= {f"model.{steps[name]}.vfm.{key}": value for key, value in vfm.items()}
    photo = shared_dir / "data" / "demo_photos" / "skimage_chelsea.png"
    segment = Inferencer(name, weights=None, device="cpu", overrides=overrides)
    result = segment(photo, "cat, sofa|couch, wall")
    assert result.label_map.shape == (300, 451)
    assert set(result.present) <= {"cat", "sofa, couch", "wall"}


def test_there_is_a_config_for_every_method():
    assert {name.removesuffix("_vit-b16") for name in NAMES} >= {
        "maskclip", "sclip", "clearclip", "naclip", "gem", "clip_surgery", "sc_clip", "lposs"
    }  # fmt: skip

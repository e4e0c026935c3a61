"""Caveats on weights: random and bundled ones are marked, others are not."""

from __future__ import annotations

import pytest
import torch

from ovss.models.build import build_segmentor
from ovss.models.checkpoint import save_weights
from ovss.models.configs import load_config
from ovss.models.provenance import BUNDLED, weights_note

NO_ENCODER = {"model.encoder.pretrained": None}


@pytest.mark.parametrize(
    ("name", "overrides", "weights", "note"),
    [
        ("dcp_clip_mini", {}, "default", BUNDLED),
        ("naclip_mini", {}, "default", BUNDLED),
        ("naclip_mini", NO_ENCODER, "default", "random weights in the encoder: "),
        ("cat_seg_mini", {}, None, "random weights in the decoder: "),
        ("cat_seg_mini", NO_ENCODER, None, "random weights in the encoder and decoder: "),
        ("dpseg_mini", {}, "default", BUNDLED),
        ("san_mini", {}, None, "random weights in the encoder"),
        ("lseg_mini", {}, None, "random weights in the encoder: "),
    ],
)
def test_random_and_bundled_weights_have_a_caveat(name, overrides, weights, note):
    config = load_config(name, overrides)
    assert weights_note(build_segmentor(config, weights), config, weights).startswith(note)


def test_own_weights_have_none(tmp_path):
    config = load_config("naclip_mini", NO_ENCODER)
    torch.manual_seed(0)
    model = build_segmentor(config, None)
    path = tmp_path / "own.safetensors"
    save_weights(model, path)
    assert weights_note(build_segmentor(config, path), config, path) == ""

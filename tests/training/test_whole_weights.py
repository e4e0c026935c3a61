"""A checkpoint that holds a whole model needs no pre-trained file; one that does not, does."""

from __future__ import annotations

import pytest
import torch

from ovss.models.build import build_segmentor
from ovss.models.checkpoint import is_whole, save_weights
from ovss.models.configs import load_config

GONE = {"model.encoder.pretrained": "gone/clip.safetensors", "model.encoder.text_cache": "off"}


def test_a_whole_checkpoint_works_without_the_pretrained_file(tmp_path):
    trained = build_segmentor("cat_seg_mini")
    save_weights(trained, tmp_path / "whole.safetensors")
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "whole.pth")
    save_weights(trained, tmp_path / "partial.safetensors", only_trainable=True)
    for name in ("whole.safetensors", "whole.pth"):
        assert is_whole(tmp_path / name)
        model = build_segmentor(load_config("cat_seg_mini", GONE), tmp_path / name)
        state = model.state_dict()
        assert all(torch.equal(state[key], value) for key, value in trained.state_dict().items())
    assert not is_whole(tmp_path / "partial.safetensors")
    for weights in (tmp_path / "partial.safetensors", None):
        with pytest.raises(FileNotFoundError, match=r"gone/clip\.safetensors"):
            build_segmentor(load_config("cat_seg_mini", GONE), weights)

"""The converter fails loudly on anything that is not the published model."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest
import torch
from ovss_plugins.cat_seg.convert import aggregator_table, convert
from torch import Tensor

from ovss.models.checkpoint import CheckpointError, read_weights
from ovss.models.configs import load_config
from ovss.models.conversion import convert_file, convertible, rename
from ovss.models.parts import without_pretrained
from ovss.segmentor import OpenVocabSegmentor


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Every name of the ViT-L checkpoint, without memory."""
    config = load_config("cat_seg_vit-l14").model.to_dict()
    config.pop("type")
    config["encoder"] = without_pretrained(config["encoder"])
    with torch.device("meta"):
        model = OpenVocabSegmentor(**config)
    clip = {
        "sem_seg_head.predictor.clip_model." + name.removeprefix("encoder.clip."): value
        for name, value in model.state_dict().items()
        if name.startswith("encoder.clip.")
    }
    own = model.state_dict()
    rest = {name: own[ours] for name, ours in aggregator_table().items()}
    for name in rest:
        if "padding_" in name:
            rest[name] = rest[name][None, None]
    for layer in range(2):
        name = f"sem_seg_head.predictor.transformer.layers.{layer}.swin_block.block_2.attn_mask"
        rest[name] = torch.empty(4, 144, 144, device="meta")
    return {**clip, **rest}


def test_large_model(published):
    assert len(published) == 652
    found = convert(published)
    assert len(found.tensors) + len(found.dropped) == 652
    assert all("computed" in why for why in found.dropped.values())


def test_unknown_and_missing_names_are_listed(published):
    extra = {**published, "sem_seg_head.predictor.transformer.more": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"1 names not known: .*transformer\.more"):
        convert(extra)
    fewer = dict(published)
    gone = "sem_seg_head.predictor.clip_model.visual.transformer.resblocks.23.ln_1.bias"
    fewer.pop(gone)
    with pytest.raises(CheckpointError, match=rf"1 names missing: {gone}"):
        convert(fewer)


def test_other_models_are_refused():
    with pytest.raises(CheckpointError, match="found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})


def test_half_precision_is_widened(published):
    halves = {name: value.half() for name, value in published.items()}
    assert all(value.dtype == torch.float32 for value in convert(halves).tensors.values())


def test_tool(tmp_path, monkeypatch, capsys, repo_root):
    assert "cat_seg" in convertible()
    with pytest.raises(CheckpointError, match=r"Expected a method .*cat_seg"):
        convert_file("nosuch", tmp_path / "a.pth", tmp_path / "b.safetensors")
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "a.pth")
    tool = repo_root / "tools" / "convert_checkpoint.py"
    arguments = ["cat_seg", str(tmp_path / "a.pth"), str(tmp_path / "b.safetensors")]
    monkeypatch.setattr(sys, "argv", [str(tool), *arguments])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(tool), run_name="__main__")
    assert exit_.value.code == 1
    assert "is not a cat_seg checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "b.safetensors").exists()


def test_what_detectron2_wraps_around_weights_is_taken_off(tmp_path):
    """fp16 towers, optimiser and scheduler state, and the rest that a trainer leaves."""
    own = {name: torch.randn(2, 3).half() for name in ("a", "b")}
    wrapped = {
        "model": own,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, 3)}},
                      "param_groups": [{"lr": 2e-4, "betas": (0.9, 0.999), "params": [0]}]},
        "scheduler": {"last_epoch": 79999, "_last_lr": [np.float64(0.0)], "base_lrs": [2e-4]},
        "iteration": 79999,
        "__author__": "CAT-Seg",
    }  # fmt: skip
    torch.save(wrapped, tmp_path / "model_final.pth")
    read, _ = read_weights(tmp_path / "model_final.pth")
    assert read.keys() == own.keys()
    found = rename(read, {"a": "encoder.a", "b": "decoder.b"})
    assert torch.equal(found.tensors["encoder.a"], own["a"].float())
    with pytest.raises(CheckpointError, match=r"model_final\.pth is not a cat_seg check.*proj"):
        convert_file("cat_seg", tmp_path / "model_final.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()

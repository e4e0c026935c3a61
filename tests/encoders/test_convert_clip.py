"""What open_clip and OpenAI publish becomes a safetensors file that both of us read."""

from __future__ import annotations

import runpy
import sys

import pytest
import torch

from ovss.encoders import OpenCLIPEncoder
from ovss.models.checkpoint import CheckpointError, file_sha256, read_weights
from ovss.models.conversion import convert_file


def test_a_published_clip_is_checked_and_keeps_names_and_precision(tiny, reference, tmp_path):
    path = tiny()
    module, _ = reference(path)
    state = {name: value.half() for name, value in module.state_dict().items()}
    state["input_resolution"] = torch.tensor(32)
    source, target = tmp_path / "open_clip.bin", tmp_path / "clip.safetensors"
    torch.save({"epoch": 32, "state_dict": {f"module.{n}": v for n, v in state.items()},
                "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, source)  # fmt: skip
    found = convert_file("clip", source, target, str(path))
    assert found.dropped.keys() == {"input_resolution"}
    tensors, notes = read_weights(target)
    assert tensors.keys() == module.state_dict().keys()
    assert tensors["visual.proj"].dtype == torch.float16
    assert notes["source_sha256"] == file_sha256(source)
    assert (notes["method"], notes["model"]) == ("clip", str(path))
    module.load_state_dict(tensors)
    encoder = OpenCLIPEncoder(str(path), str(target))
    assert torch.equal(encoder.clip.visual.proj, module.visual.proj)


def test_another_architecture_is_refused_and_nothing_written(tiny, reference, tmp_path):
    _, weights = reference(tiny({"width": 40}))
    with pytest.raises(CheckpointError, match=r"do not fit .*another shape"):
        convert_file("clip", weights, tmp_path / "out.safetensors", str(tiny()))
    with pytest.raises(ValueError, match="model architecture for method 'clip'"):
        convert_file("clip", weights, tmp_path / "out.safetensors")
    with pytest.raises(ValueError, match="model architecture for method 'clip'"):
        convert_file("cat_seg", weights, tmp_path / "out.safetensors", "ViT-B-16")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_tool_says_what_it_did(tiny, reference, tmp_path, monkeypatch, capsys, repo_root):
    path = tiny()
    _, weights = reference(path)
    argv = ["convert", "clip", str(weights), str(tmp_path / "out.safetensors"), "--model"]
    for model, code in ((str(path), 0), ("ViT-B/16", 1)):
        monkeypatch.setattr(sys, "argv", [*argv, model])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(repo_root / "tools/convert_checkpoint.py"), run_name="__main__")
        assert end.value.code == code
    printed = capsys.readouterr()
    count = len(read_weights(weights)[0])
    assert f"{count} tensors converted, 0 dropped" in printed.out
    assert "Did you mean ViT-B-16" in printed.err

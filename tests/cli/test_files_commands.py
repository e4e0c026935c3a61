"""`ovss convert` and `ovss publish`: output files, and errors on bad input."""

from __future__ import annotations

import runpy
import sys

import pytest
import torch

from ovss.cli import main
from ovss.io.weight_files import read_weights, write_weights


def test_publish_halves_floats_and_keeps_metadata(tmp_path, capsys):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    tensors = {"weight": torch.tensor([0.1, 2.0]), "count": torch.tensor([7])}
    write_weights(tensors, source, {"method": "mine"})
    assert main(["publish", str(source), str(target)]) == 0
    found, metadata = read_weights(target)
    assert found["weight"].dtype == torch.float16
    assert found["count"].tolist() == [7]
    assert metadata["method"] == "mine"
    assert "2 tensors, SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["publish", "absent.pth", "b.safetensors"], "absent.pth"),
        (["publish", "a.pth", "b.pth"], ".safetensors"),
        (
            ["convert", "nosuch", "a.pth", "b.safetensors"],
            "a method with a converter (cat_seg, ",
        ),
        (["convert", "cat_seg", "absent.pth", "b.safetensors"], "absent.pth"),
        (["convert", "cat_seg", "a.pth", "b.safetensors"], "not a cat_seg checkpoint"),
        (["convert", "cat_seg", "a.pth", "b.safetensors", "--model", "X"], "METHOD clip only"),
        (["convert", "clip", "a.pth", "b.safetensors"], "clip needs --model NAME"),
    ],
)
def test_bad_input_is_an_error_and_writes_nothing(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"x": torch.zeros(1)}}, "a.pth")
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("convert_checkpoint", "convert"),
        ("publish_weights", "publish"),
        ("benchmark", "benchmark table"),
        ("build_visual_prompts", "visual-prompts"),
        ("segment", "segment"),
        ("print_config", "config"),
    ],
)
def test_scripts_are_the_commands(repo_root, monkeypatch, capsys, script, command):
    if command == "config":
        pytest.importorskip("ovss.cli.config")
    path = str(repo_root / "tools" / f"{script}.py")
    monkeypatch.setattr(sys, "argv", [path, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(path, run_name="__main__")
    assert f"usage: ovss {command} " in capsys.readouterr().out


@pytest.mark.parametrize("command", ["convert", "publish", "complexity", "benchmark"])
def test_wrong_usage(command):
    with pytest.raises(SystemExit, match="2"):
        main([command])

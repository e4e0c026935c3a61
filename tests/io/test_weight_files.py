"""Weights files are recognised by their content, their wrappers removed, broken values refused."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ovss.io.finite import all_finite, not_finite
from ovss.io.state_dicts import fit_names, without_wrappers
from ovss.io.weight_files import CheckpointError, read_weights
from ovss.models.build import build_segmentor
from ovss.models.checkpoint import load_weights
from ovss.models.configs import load_config
from ovss.models.conversion import convert_file
from ovss.models.weights import WEIGHTS_DIR

NAMES = ("top.weight", "top.bias")


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.ModuleDict({"top": nn.Linear(3, 2)})


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in net().state_dict().items()}


def save(state: object, path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file({name: value.clone() for name, value in state.items()}, path)  # type: ignore[attr-defined]
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "w.pt", "w.pth", "w.ckpt", "w"])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_the_content_decides_not_the_name(tmp_path, name, kind):
    tensors, _ = read_weights(save(prefixed(""), tmp_path / name, kind))
    assert tuple(tensors) in (NAMES, NAMES[::-1])
    load_weights(net(), tmp_path / name)


@pytest.mark.parametrize("kind", ["safetensors", "zip"])
@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "model.module."]
    + ["model._orig_mod.", "module.model.", "lightning.segmentor."],
)
def test_prefixes_of_wrappers_are_removed(tmp_path, kind, prefix):
    model = nn.ModuleDict({"top": nn.Linear(3, 2)})
    load_weights(model, save(prefixed(prefix), tmp_path / "w", kind))
    assert torch.equal(model["top"].weight, net()["top"].weight)


def test_a_model_keeps_the_names_it_has_itself():
    state = prefixed("model.")
    assert list(fit_names(state, state)) == list(state)
    assert fit_names({"model.a": 1, "a": 2}, ["a"]) == {"model.a": 1, "a": 2}, "two of one name"
    mixed = {"module.a": torch.zeros(1), "b": torch.ones(1)}
    assert list(without_wrappers(mixed)) == ["module.a", "b"]
    assert list(without_wrappers({"enc._orig_mod.a": torch.ones(1)})) == ["enc.a"]
    average = {"n_averaged": torch.ones(1), "module.a": torch.ones(1)}
    assert list(without_wrappers(average)) == ["a"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 1}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"net": state},
        lambda state: {"ema": {"module." + name: value for name, value in state.items()}},
        lambda state: {"ema": {"top.weight": torch.zeros(2, 3)}, "model": state},
    ],
)
def test_state_dicts_inside_checkpoints_are_found(tmp_path, wrap):
    model = nn.ModuleDict({"top": nn.Linear(3, 2)})
    load_weights(model, save(wrap(prefixed("")), tmp_path / "w.pth", "zip"))
    assert torch.equal(model["top"].weight, net()["top"].weight)


def test_a_checkpoint_without_a_state_dict_names_what_it_has(tmp_path):
    save({"generator": prefixed(""), "epoch": 3}, tmp_path / "w.pth", "zip")
    with pytest.raises(CheckpointError, match=r"under state_dict, .*but found generator, epoch"):
        read_weights(tmp_path / "w.pth")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 605157884\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS, r"pointer of Git LFS to the weights file of 605,157,884 bytes.*git lfs pull"),
        (b"\n<!DOCTYPE html><title>Not &amp; Found</title>", r"a web page titled 'Not & Found'"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "a web page, not weights"),
        (b'{"error": "Repository not found"}', r'a text file that begins with \'\{"error"'),
        (b"", "is empty"),
        (b"\x1f\x8b" + b"x" * 99, "a gzip archive. Unpack it"),
        (b"\x93NUMPY" + b"x" * 99, "a NumPy array"),
        (b"\x00\x01\x02\xff" * 9, "truncated or not a weights file"),
    ],
)
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_what_downloads_leave_instead_of_weights(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_folders_missing_files_and_archives_of_other_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder.*Name the file"):
        read_weights(tmp_path)
    with pytest.raises(CheckpointError, match=r"The weights file .*none\.pth does not exist"):
        read_weights(tmp_path / "none.pth")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("model/weights.pth", "x")
    with pytest.raises(CheckpointError, match=r"other files \(model/weights.pth\).*Unpack it"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_large_values_are_finite_and_one_bad_value_is_not(dtype):
    x = torch.full((3000,), torch.finfo(dtype).max, dtype=dtype)
    assert all_finite(x)
    for bad in (float("nan"), float("inf"), -float("inf")):
        x[7] = bad
        assert not all_finite(x)
        assert not_finite({"x": x}) == {"x": 1}
    x[8] = float("inf")  # inf - inf
    assert not all_finite(x)


def test_integers_empty_tensors_and_attention_masks_are_no_broken_weights():
    mask = torch.triu(torch.full((5, 5), -torch.inf), 1)
    assert not_finite({"mask": mask, "ids": torch.arange(3), "none": torch.zeros(0)}) == {}


@pytest.mark.parametrize("kind", ["safetensors", "zip"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_not_finite_are_refused(tmp_path, kind, dtype):
    state = {name: value.to(dtype) for name, value in prefixed("module.").items()}
    state["module.top.weight"][0, :2] = torch.tensor([float("nan"), float("inf")])
    model = net()
    with pytest.raises(
        CheckpointError, match=r"w has 2 values .* 1 of 2 tensors: top\.weight \(2 of 6\)\."
    ):
        load_weights(model, save(state, tmp_path / "w", kind))
    assert torch.equal(model["top"].weight, net()["top"].weight), "nothing was loaded"


def test_encoders_and_converters_refuse_them_as_well(tmp_path):
    tensors, _ = read_weights(WEIGHTS_DIR / "mini_clip.safetensors")
    tensors["visual.proj"][0, 0] = np.nan
    save_file(tensors, tmp_path / "clip.safetensors")
    message = r"clip\.safetensors has 1 value that is NaN.*visual\.proj"
    with pytest.raises(CheckpointError, match=message):
        convert_file(
            "clip", tmp_path / "clip.safetensors", tmp_path / "out.safetensors", "mini_clip"
        )
    assert not (tmp_path / "out.safetensors").exists()
    path = str(tmp_path / "clip.safetensors")
    config = load_config("cat_seg_mini", {"model.encoder.pretrained": path})
    with pytest.raises(CheckpointError, match=message):
        build_segmentor(config, weights=None)


def test_pretrained_files_of_other_tools_load(tmp_path):
    tensors, _ = read_weights(WEIGHTS_DIR / "mini_clip.safetensors")
    state = {f"model.module.{name}": value for name, value in tensors.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "clip.pt")
    shutil.copy(tmp_path / "clip.pt", tmp_path / "clip.safetensors")  # a wrong name
    options = {"model.encoder.pretrained": str(tmp_path / "clip.safetensors")}
    first = build_segmentor(load_config("cat_seg_mini", options), weights=None).encoder
    second = build_segmentor("cat_seg_mini", weights=None).encoder
    for name, value in second.state_dict().items():
        assert torch.equal(first.state_dict()[name], value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({1: torch.ones(2)}, "found the key 1"),
        ({"a": torch.ones(2).to_sparse()}, "a is a sparse tensor"),
        ({"a": torch.empty(2, device="meta")}, "a has no values"),
        ({"a\x1b[31m" * 50: 3}, r"a\\x1b\[31ma"),
    ],
)
def test_state_dicts_that_no_model_can_load(tmp_path, state, message):
    path = save(state, tmp_path / "w.pth", "zip")
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(path)
    assert "w.pth" in str(caught.value)
    assert len(str(caught.value)) < 500

"""Weights files are exact, and a file that does not fit the model is rejected."""

from __future__ import annotations

import argparse
import json
import os

import pytest
import torch
from torch import nn

from ovss.cli.publish import run as publish
from ovss.models.checkpoint import (
    CheckpointError,
    load_weights,
    read_weights,
    save_weights,
    write_weights,
)


def tower(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.ModuleDict(
        {"base": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3), "top": nn.Linear(3, width)}
    )
    model["base"].requires_grad_(False)
    return model


def same(left: nn.Module, right: nn.Module) -> bool:
    others = right.state_dict()
    return all(torch.equal(value, others[name]) for name, value in left.state_dict().items())


def test_whole_file_round_trip(tmp_path):
    save_weights(tower(0), tmp_path / "w.safetensors", metadata={"method": "cat_seg"})
    model = tower(1)
    assert load_weights(model, tmp_path / "w.safetensors")["method"] == "cat_seg"
    assert same(model, tower(0))


def test_partial_file_omits_frozen_weights_and_remembers_them(tmp_path):
    path = tmp_path / "w.safetensors"
    trained = tower(0)
    nn.init.ones_(trained["top"].weight)
    trained["norm"].running_mean.fill_(2)
    save_weights(trained, path, only_trainable=True, metadata={"base": "base.safetensors"})
    assert not any(name.startswith("base.") for name in read_weights(path)[0])

    model = tower(0)
    load_weights(model, path)
    assert same(model, trained)
    other = tower(1)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"must come from base\.safetensors"):
        load_weights(other, path)
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())


def test_half_precision_on_disk(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(tower(0), path, dtype=torch.float16)
    assert read_weights(path)[0]["top.weight"].dtype == torch.float16
    model = tower(1)
    load_weights(model, path)
    torch.testing.assert_close(model["top"].weight, tower(0)["top"].weight, atol=1e-3, rtol=0)


@pytest.mark.parametrize("wrap", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pickled_state_dicts(tmp_path, wrap, prefix):
    state = {prefix + name: value for name, value in tower(0).state_dict().items()}
    torch.save({wrap: state, "iter": 3} if wrap else state, tmp_path / "w.pth")
    model = tower(1)
    assert load_weights(model, tmp_path / "w.pth") == {}
    assert same(model, tower(0))


def test_checkpoint_with_a_training_log(tmp_path):
    from mmengine.logging.history_buffer import HistoryBuffer

    log = {"log_scalars": {"loss": HistoryBuffer([1.0, 2.0], [1, 1])}}
    torch.save({"state_dict": tower(0).state_dict(), "message_hub": log}, tmp_path / "w.pth")
    model = tower(1)
    load_weights(model, tmp_path / "w.pth")
    assert same(model, tower(0))


def test_other_shape_and_other_method_are_named(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(tower(0, width=5), path, metadata={"method": "sed"})
    with pytest.raises(CheckpointError, match=r"method sed.*top.weight \(5, 3\) in the file"):
        load_weights(tower(0), path)
    save_weights(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match=r"missing: base.weight.*unexpected: .*bias"):
        load_weights(tower(0), path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_file(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(tower(0).state_dict(), path)
    else:
        save_weights(tower(0), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="truncated"):
        load_weights(tower(0), path)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"top.weight": Payload()}}, "w.pth")
    with pytest.raises(CheckpointError, match="not read for safety"):
        read_weights("w.pth")
    assert not (tmp_path / "pwned").exists()


def test_unwritable_folder_and_missing_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="could not be written"):
        save_weights(tower(0), tmp_path / "file" / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r"none\.safetensors does not exist\. Correct the path"
    ):
        load_weights(tower(0), tmp_path / "none.safetensors")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(tower(0), path)

    def full_disk(file, tensors, metadata):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ovss.io.weight_files.write_safetensors", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_weights(tower(1), path)
    model = tower(2)
    load_weights(model, path)
    assert same(model, tower(0))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"partial_expects": "[]"}, "lacks partial_fingerprint"),
        ({"partial_fingerprint": "0" * 64}, "lacks partial_expects"),
        ({"partial_expects": "[", "partial_fingerprint": ""}, "must be a JSON list of names"),
        ({"partial_expects": '{"a": 1}', "partial_fingerprint": ""}, "must be a JSON list"),
        ({"partial_expects": '["top.weight"]', "partial_fingerprint": ""}, r"holds top\.weight"),
        ({"partial_expects": '["x.y"]', "partial_fingerprint": ""}, r"1 missing: x\.y"),
    ],
)
def test_a_file_that_says_wrongly_that_it_is_partial(tmp_path, notes, message):
    path = tmp_path / "w.safetensors"
    write_weights(tower(0).state_dict(), path, notes)
    with pytest.raises(CheckpointError, match=message):
        load_weights(tower(1), path)


def test_a_file_that_leaves_out_everything_is_refused(tmp_path):
    path, names = tmp_path / "w.safetensors", sorted(tower(0).state_dict())
    write_weights({}, path, {"partial_expects": json.dumps(names), "partial_fingerprint": "0"})
    with pytest.raises(CheckpointError, match="which are all that the model has"):
        load_weights(tower(1), path)


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.uint8, torch.int64])
def test_integers_in_place_of_floats_are_refused(tmp_path, kind):
    path = tmp_path / "w.safetensors"
    state = tower(0).state_dict()
    write_weights({**state, "top.weight": torch.ones(4, 3).to(kind)}, path)
    model = tower(1)
    with pytest.raises(CheckpointError, match=r"1 of another number type: top\.weight \("):
        load_weights(model, path)
    assert same(model, tower(1))


def test_complex_weights_are_refused(tmp_path):
    state = {**tower(0).state_dict(), "top.weight": torch.ones(4, 3, dtype=torch.complex64)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="complex64 instead of float32"):
        load_weights(tower(1), tmp_path / "w.pth")


def test_values_that_half_precision_cannot_hold_are_named(tmp_path):
    model, path = tower(0), tmp_path / "w.safetensors"
    nn.init.constant_(model["top"].weight, 1e5)
    with pytest.raises(
        CheckpointError, match=r"top\.weight has values up to 100000, which float16"
    ):
        save_weights(model, path, dtype=torch.float16)
    save_weights(model, path)
    with pytest.raises(CheckpointError, match=r"top\.weight has values up to 100000"):
        load_weights(tower(1).half(), path)
    load_weights(tower(1).bfloat16(), path)
    with pytest.raises(CheckpointError, match="Keep these weights"):
        publish(argparse.Namespace(source=str(path), target=str(tmp_path / "half.safetensors")))
    assert not (tmp_path / "half.safetensors").exists()


def test_the_same_weights_give_the_same_file(tmp_path):
    notes = {f"note{index}": str(index) for index in range(8)}
    save_weights(tower(0), tmp_path / "a.safetensors", metadata=notes)
    backwards = dict(reversed(notes.items()))
    save_weights(tower(0), tmp_path / "b.safetensors", metadata=backwards)
    first, second = (tmp_path / f"{name}.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()

"""`ovss reproduce`: the same values, or a report of what differs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.cli.main import main as command
from ovss.cli.test import main as evaluate
from ovss.io.weight_files import read_weights, write_weights
from ovss.results.comparison import OTHER_DEVICE, compare
from ovss.results.figures import recomputed_metrics
from ovss.results.reproduce import set_up
from ovss.results.result_file import ResultError, read_result
from tests.results.made_result import made_result
from tests.tiny_training import tiny_config, train

DATA = """
test_dataloader = dict(
    _delete_=True, batch_size=1, num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(type="ImageMaskDataset", images={folder!r} + "/images",
                 masks={folder!r} + "/masks", vocabulary=["sky", "grass", "road"],
                 pipeline=[dict(type="PackSample")]))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Trained method, three images and its result: result.json, run/, data/."""
    folder = tmp_path_factory.mktemp("recorded")
    draw = np.random.default_rng(0)
    for kind, shape in (("images", (64, 64, 3)), ("masks", (64, 64))):
        (folder / "data" / kind).mkdir(parents=True)
        for index in range(3):
            values = draw.integers(0, 255 if kind == "images" else 3, shape, np.uint8)
            Image.fromarray(values).save(folder / "data" / kind / f"{index}.png")
    config = tiny_config(folder, DATA.format(folder=str(folder / "data")))
    run = train(config, folder / "run")
    weights = str(run / "weights.safetensors")
    flags = ["--work-dir", str(folder / "test"), "--out", str(folder / "result.json")]
    assert evaluate([str(config), weights, *flags]) == 0
    return folder


def reproduce(folder: Path, capsys, *flags: str, result: str = "result.json") -> tuple[int, str]:
    """Exit code and printed text."""
    place = ["--work-dir", str(folder / "again")]
    code = command(["reproduce", str(folder / result), *place, *flags])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def edited(folder: Path, name: str, **change: dict) -> str:
    """Result file with changed parts."""
    content = json.loads((folder / "result.json").read_text())
    for part, values in change.items():
        content[part].update(values)
    (folder / name).write_text(json.dumps(content))
    return name


def test_the_result_records_what_reproduction_needs(recorded):
    result = read_result(recorded / "result.json")
    assert result.metrics.keys() >= {"mIoU", "mIoU_union", "hIoU", "pACC", "mACC", "fwIoU"}
    assert list(result.categories) == ["sky", "grass", "road"]
    assert (result.data.images, result.data.categories) == (3, 3)
    assert result.data.folder == str(recorded / "data")
    assert len(result.weights.sha256 or "") == 64
    assert result.run.command[:2] == ["ovss", "test"]
    assert result.run.seconds > 0
    assert result.run.peak_memory["resident"] > 1 << 20
    assert result.run.versions.keys() >= {"ovss", "python", "torch", "onedl-mmengine"}
    assert result.protocol.fields["views"]["mode"] == "whole"


def test_the_same_values_are_reproduced(recorded, capsys):
    code, printed = reproduce(recorded, capsys, "--out", str(recorded / "again.json"))
    assert code == 0
    assert "reproduced: every value is within 0.0001 percentage points" in printed
    first, second = read_result(recorded / "result.json"), read_result(recorded / "again.json")
    assert first.metrics == second.metrics
    assert first.categories == second.categories
    assert (first.weights.model_sha256, first.data) == (second.weights.model_sha256, second.data)


def test_hooks_and_paths_of_the_recorded_run_are_dropped(recorded):
    result = read_result(recorded / "result.json")
    assert "ImageHook" in result.config
    for config in (result.config, result.config.replace("ImageHook", "PictureHook")):
        config = set_up(replace(result, config=config), "r.json")[0]
        assert not {"custom_hooks", "work_dir", "load_from", "train_cfg"} & config.keys()
        assert config.visualizer.vis_backends == [dict(type="LocalVisBackend")]


def test_other_values_give_exit_code_1(recorded, capsys):
    rows = {
        name: dict(row) for name, row in read_result(recorded / "result.json").categories.items()
    }
    row = next(row for row in rows.values() if row["correct"])
    row["correct"] -= 20  # as if 20 pixels more had been confused
    row["iou"] = round(
        100 * row["correct"] / (row["pixels"] + row["predicted"] - row["correct"]), 4
    )
    row["accuracy"] = round(100 * row["correct"] / row["pixels"], 4)
    metrics = recomputed_metrics(rows)[0]
    name = edited(recorded, "better.json", metrics=metrics, categories=rows)
    code, printed = reproduce(recorded, capsys, result=name)
    assert code == 1
    assert "NOT reproduced: " in printed
    assert "mIoU" in printed.splitlines()[-1]
    assert reproduce(recorded, capsys, "--tolerance", "1.5", result=name)[0] == 0


def test_files_may_have_moved(recorded, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.copytree(recorded / "data", moved)
    weights = shutil.copy(recorded / "run" / "weights.safetensors", tmp_path / "w.safetensors")
    flags = ["--weights", str(weights), "--data-root", str(moved)]
    assert reproduce(recorded, capsys, *flags)[0] == 0
    (moved / "images" / "2.png").unlink()
    code, printed = reproduce(recorded, capsys, *flags)
    assert code == 1
    assert "made on 3 images of" in printed
    assert "there are 2 here" in printed


def test_other_labels_are_noticed(recorded, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.copytree(recorded / "data", moved)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(moved / "masks" / "0.png")
    code, printed = reproduce(recorded, capsys, "--data-root", str(moved))
    assert code == 1
    assert "mismatch: labels (census of true pixels)" in printed


def test_other_weights_are_refused_before_the_first_image(recorded, tmp_path, capsys):
    other = train(tiny_config(tmp_path), tmp_path / "run", "--seed", "7") / "weights.safetensors"
    code, printed = reproduce(recorded, capsys, "--weights", str(other))
    assert code == 1
    assert "another weights file (SHA-256" in printed
    assert "--weights FILE" in printed
    code, printed = reproduce(recorded, capsys, "--weights", str(other), "--anyway")
    assert code == 1
    assert "mismatch: weights file (SHA-256)" in printed


def test_a_file_with_the_same_tensors_is_the_same(recorded, tmp_path):
    tensors, notes = read_weights(recorded / "run" / "weights.safetensors")
    write_weights(tensors, tmp_path / "w.safetensors", {**notes, "note": "another"})
    result = read_result(recorded / "result.json")
    assert set_up(result, "r.json", tmp_path / "w.safetensors")[1] == tmp_path / "w.safetensors"
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    write_weights({**tensors, name: tensors[name] + 1}, tmp_path / "w.safetensors", notes)
    with pytest.raises(ResultError, match=r"another weights file \(SHA-256"):
        set_up(result, "r.json", tmp_path / "w.safetensors")


def test_weights_for_a_method_that_had_none_are_refused(recorded, capsys):
    result = edited(recorded, "free.json", weights={"file": None, "sha256": None})
    code, printed = reproduce(recorded, capsys, "--weights", "any.safetensors", result=result)
    assert code == 1
    assert "made without a weights file, but any.safetensors is given" in printed
    assert "Leave --weights out. Use --anyway to run nevertheless." in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": {"file": "gone.safetensors"}},
            "Give the path of the weights with --weights FILE.",
        ),
        ({"weights": {"encoder_sha256": "0" * 64}}, "made with another encoder"),
        ({"weights": {"model_sha256": "0" * 64}}, "made with another model"),
        ({"protocol": {"full_hash": "0" * 12}}, "records the full hash '000000000000'"),
        ({"protocol": {"fields": {}}}, "but the recorded fields have the hash"),
        ({"protocol": {"fields": {}}}, "Use an unedited copy"),
        ({"data": {"pictures": 5}, "run": {"seconds": 5.0, "seconds_per_picture": 1.0}}, "on 5 im"),
        ({"run": {"device": None}}, "must be an object, got None. The file was edited"),
        ({"protocol": {"fields": []}}, "must be an object, got []. The file was edited"),
    ],
)
def test_what_does_not_fit_is_named(recorded, capsys, change, message):
    code, printed = reproduce(recorded, capsys, result=edited(recorded, "odd.json", **change))
    assert code == 1
    assert message in printed


def test_a_config_without_model_or_data_is_named(recorded, capsys):
    content = json.loads((recorded / "result.json").read_text())
    (recorded / "bare.json").write_text(json.dumps({**content, "config": "x = 1"}))
    code, printed = reproduce(recorded, capsys, result="bare.json")
    assert code == 1
    assert "lacks model, test_dataloader, test_evaluator" in printed


def test_a_result_of_another_version_is_refused(recorded, capsys):
    content = json.loads((recorded / "result.json").read_text())
    (recorded / "odd.json").write_text(json.dumps({**content, "schema": 9}))
    code, printed = reproduce(recorded, capsys, result="odd.json")
    assert code == 1
    assert "odd.json has result format 9, written by ovss" in printed


def test_a_missing_data_folder_is_named(recorded, capsys):
    text = (recorded / "result.json").read_text()
    (recorded / "gone.json").write_text(text.replace(str(recorded / "data"), "/nowhere/data"))
    code, printed = reproduce(recorded, capsys, result="gone.json")
    assert code == 1
    assert "the folder /nowhere/data does not exist here" in printed
    assert "--data-root DIR" in printed


def test_other_versions_and_devices_are_reported_and_not_refused():
    old = made_result()
    device = {**old.run.device, "kind": "cuda", "name": "a GPU"}
    versions = {**old.run.versions, "torch": "3.0"}
    new = replace(made_result(), run=replace(old.run, device=device, versions=versions, ranks=2))
    found = compare(old, new)
    assert found.same
    assert found.tolerance == OTHER_DEVICE
    assert {"torch 2.9.0 recorded, 3.0 now", "device kind cpu recorded, cuda now"} <= {*found.notes}


def test_a_metric_that_only_one_of_them_has_is_a_difference():
    old, new = made_result(), made_result()
    metrics = {**new.metrics, "mIoU_unseen": 3.0}
    assert not compare(old, replace(new, metrics=metrics), tolerance=100.0).same


def test_a_loop_without_counts_is_refused(recorded):
    config, weights = recorded / "tiny.py", recorded / "run" / "weights.safetensors"
    flags = ["--work-dir", str(recorded / "other"), "--cfg-options", "test_cfg.type=TestLoop"]
    with pytest.raises(TypeError, match="test_cfg names TestLoop"):
        evaluate([str(config), str(weights), *flags])

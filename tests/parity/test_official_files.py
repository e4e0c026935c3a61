"""Files of the authors' layout, from the converter's command to the figures of `ovss test`.

Weights and image follow from a formula; the label map that the authors' code makes of them is
the ground truth here, so a score of 100 % says that the whole way changes nothing.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plain_cat_seg import formula_image, formula_weights

from ovss.cli import main
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config
from ovss.results.result_file import read_result

DATA = Path(__file__).parent / "data"

pytestmark = pytest.mark.slow  # full-size models on a CPU


def official_file(case: dict, path: Path) -> Path:
    """As detectron2 saves it at the end of a training."""
    weights = formula_weights(case["state_dict"])
    name = next(iter(weights))
    optimizer = {
        "state": {0: {"step": torch.tensor(80000.0), "exp_avg": torch.zeros_like(weights[name])}},
        "param_groups": [{"lr": 0.0, "betas": (0.9, 0.999), "params": [0]}],
    }
    scheduler = {"base_lrs": [2e-4], "last_epoch": 80000, "_last_lr": [np.float64(0.0)]}
    torch.save(
        {"model": weights, "optimizer": optimizer, "scheduler": scheduler, "iteration": 79999}, path
    )
    return path


def convert(method: str, source: Path, repo_root: Path, monkeypatch) -> Path:
    target = source.with_suffix(".safetensors")
    monkeypatch.setattr(sys, "argv", ["convert_checkpoint.py", method, str(source), str(target)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(repo_root / "tools/convert_checkpoint.py"), run_name="__main__")
    assert end.value.code == 0
    return target


def one_image(folder: Path, case: dict, labels_HW: np.ndarray) -> Path:
    """A dataset of the formula's image."""
    pixels = formula_image(*(case["image"][key] for key in ("h", "w", "seed")))
    for part, values in (("images", pixels.permute(1, 2, 0).numpy()), ("masks", labels_HW)):
        (folder / part).mkdir(parents=True)
        Image.fromarray(values.astype(np.uint8)).save(folder / part / "formula.png")
    (folder / "classes.txt").write_text("\n".join(case["names"]))
    return folder


def pixel_accuracy(config: str, weights: Path, data: Path, *options: str) -> float:
    out = data / "result.json"
    command = ["test", config, str(weights), "--data", str(data), "--out", str(out), *options]
    assert main([*command, "--work-dir", str(data / "run"), "--device", "cpu"]) == 0
    result = read_result(out)
    assert result.weights.file == str(weights)
    return result.metrics["pACC"]


def test_cat_seg_scores_what_its_authors_code_scores(tmp_path, monkeypatch, repo_root):
    case = json.loads((DATA / "cat_seg_vit-b16.json").read_text())
    source = official_file(case, tmp_path / "model_base.pth")
    weights = convert("cat_seg", source, repo_root, monkeypatch)
    with np.load(DATA / "cat_seg_vit-b16.npz") as file:
        data = one_image(tmp_path / "data", case, file["sliding_argmax"])
    as_it_is = ("--protocol-options", "resize.short=None", "resize.longest=None")
    assert pixel_accuracy("cat_seg_vit-b16", weights, data, *as_it_is) > 99.99  # ties


def test_sed_scores_alike_by_config_and_by_command(tmp_path, monkeypatch, repo_root):
    case = json.loads((DATA / "sed_convnext-b.json").read_text())
    case["names"] = case["names"][:4]  # 80 prompts each
    source = official_file(case, tmp_path / "sed_model_base.pth")
    weights = convert("sed", source, repo_root, monkeypatch)
    model = build_segmentor(load_config("sed_convnext-b"), weights)
    pixels = formula_image(*(case["image"][key] for key in ("h", "w", "seed")))
    scores = model.scores(pixels, model.encode_vocabulary(tuple(case["names"])))
    labels = model.label_map(scores, tuple(pixels.shape[1:]))
    del model
    data = one_image(tmp_path / "data", case, labels.numpy())
    as_it_is = ("--protocol-options", "resize.short=None", "resize.longest=None")
    assert pixel_accuracy("sed_convnext-b", weights, data, *as_it_is) == 100

"""The curve's metrics equal those of `ovss test`, and the encoder runs once per image."""

from __future__ import annotations

import json

import pytest
import torch

from ovss.benchmark.arguments import random_model
from ovss.benchmark.images import open_dataset
from ovss.benchmark.selection import curve
from ovss.cli import main
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config


@pytest.fixture(scope="module")
def trained():
    """CAT-Seg's weights behind a selector with a threshold."""
    plugins = ["ovss_plugins.cat_seg", "ovss_plugins.dcp_clip"]
    config = load_config("cat_seg_mini", {"custom_imports.imports": plugins})
    selector = {"type": "DynamicCategorySelector", "temperature": 43.4, "threshold": 0.5}
    config.model.selector = selector
    return config, build_segmentor(config)


def test_metrics_are_those_of_ovss_test(tmp_path):
    config = load_config("cat_seg_mini")
    model = build_segmentor(config)
    (point,) = curve(config, model, open_dataset(config, "mini_20", 4), images=4)
    out = tmp_path / "out.json"
    flags = ["--on", str(_dataset(tmp_path)), "--out", str(out), "--work-dir", str(tmp_path)]
    assert main(["test", "cat_seg_mini", *flags]) == 0
    expected = json.loads(out.read_text())["metrics"]
    assert {key: point.as_dict()[key] for key in expected} == pytest.approx(expected, abs=5e-5)


def _dataset(folder):
    """Config of mini_20 with four scenes."""
    from ovss.models.configs import config_dir

    base = config_dir() / "_base_" / "datasets" / "mini_20.py"
    path = folder / "four.py"
    path.write_text(f"_base_ = [{str(base)!r}]\ntest_dataloader = dict(dataset=dict(length=4))\n")
    return path


def test_each_image_is_encoded_once(trained, monkeypatch):
    config, model = trained
    calls = []
    encode = model.encoder.encode_image
    monkeypatch.setattr(model.encoder, "encode_image", lambda x: calls.append(1) or encode(x))
    own = model.selector
    points = curve(config, model, open_dataset(config, "mini_20", 3), (0.0, 0.5, 1.0), 3)
    assert len(calls) == 3 + 1, "three images and the first, to warm up"
    assert model.selector is own
    assert [len(point.kept_image) for point in points] == [3] * 3


def test_threshold_0_keeps_all_and_finds_all(trained):
    config, model = trained
    data = open_dataset(config, "mini_20", 3)
    all_kept, some_kept = (p.as_dict() for p in curve(config, model, data, (0.0, 0.5), 3))
    assert all_kept["kept_per_view"] == {"mean": 20, "smallest": 20, "largest": 20}
    assert all_kept["recall"] == 100
    assert 1 <= some_kept["kept_per_view"]["mean"] < 20
    assert some_kept["gmacs_per_image"] < all_kept["gmacs_per_image"]
    present = sum(
        len(set(data[i]["data_samples"].gt_sem_seg.data.unique().tolist()) - {-1}) for i in range(3)
    )
    point = curve(config, model, data, (0.5,), 3)[0]
    assert point.present_T.sum() == present
    assert point.recall() == pytest.approx(100 * point.found_T.sum() / present)


def test_views_are_merged():
    config, model = random_model("dcp_clip_mini", None, "cpu")
    slide = {"mode": "slide", "size": 128, "window": 96, "stride": 32, "global_view": True}
    config.merge_from_dict({"model.inference": slide})
    model = build_segmentor(config, weights=None)
    (point,) = curve(config, model, open_dataset(config, "mini_20", 2), images=2)
    assert len(point.kept_view) == 2 * 5
    assert len(point.kept_image) == 2
    assert point.kept_image[0] >= max(point.kept_view[:5])


@pytest.mark.parametrize(
    ("method", "threshold", "error", "message"),
    [
        ("cat_seg_mini", 0.5, TypeError, "ClipTopK has no threshold"),
        ("dcp_clip_mini", 1.5, ValueError, r"in 0\.\.1, got 1\.5"),
    ],
)
def test_wrong_thresholds(method, threshold, error, message):
    config, model = random_model(method, None, "cpu")
    with pytest.raises(error, match=message):
        curve(config, model, open_dataset(config, "mini_20", 1), (threshold,), 1)


def test_the_command_gives_json(tmp_path, capsys):
    flags = ["--weights", "none", "--on", "mini_20", "--scenes", "1"]
    out = str(tmp_path / "a.json")
    setting = "model.selector.image_score=softmax_maxnorm"
    flags += ["--thresholds", "0", "0.9", "--json", out, "--cfg-options", setting]
    assert main(["benchmark", "selection", "dcp_clip_mini", *flags]) == 0
    points = json.loads((tmp_path / "a.json").read_text())["points"]
    assert [(p["data"], p["threshold"]) for p in points] == [
        ("mini_20", threshold) for threshold in (0, 0.9)
    ]
    assert "mini_20: 20 categories, 1 images" in capsys.readouterr().out
    assert torch.is_grad_enabled()

"""The Runner, the command line and Python build models by the same function."""

from __future__ import annotations

import glob

import pytest
import torch
from mmengine.config import Config

from ovss.models.build import build_model, build_on_meta
from ovss.models.configs import config_dir, load_config, read_config
from ovss.training.build import build_runner
from tests.tiny_training import tiny_config


def test_the_runner_builds_the_model_with_build_model(tmp_path, monkeypatch):
    built = []

    def spy(model):
        built.append(build_model(model))
        return built[-1]

    monkeypatch.setattr("ovss.training.runner.build_model", spy)
    runner = build_runner(load_config(tiny_config(tmp_path)), tmp_path / "run")
    assert [runner.model] == built


def test_runner_and_python_report_a_mistake_with_one_message(tmp_path):
    config = load_config(tiny_config(tmp_path))
    config.model.selektor = dict(type="KeepAll")
    messages = []
    for build in (
        lambda: build_model(config.model),
        lambda: build_on_meta(config.model),
        lambda: build_runner(config, tmp_path / "run"),
    ):
        with pytest.raises(TypeError, match=r"'model.selektor'. Did you mean 'selector'") as caught:
            build()
        messages.append(str(caught.value))
    assert len(set(messages)) == 1


def test_a_component_inside_a_component_is_checked_too():
    config = load_config("dpseg_mini")
    config.model.encoder.encoder.levls = (1,)
    with pytest.raises(TypeError, match=r"'model.encoder.encoder.levls'. Did you mean 'levels'"):
        build_model(config.model)


def test_on_meta_no_weights_are_read():
    config = load_config("cat_seg_mini", {"model.encoder.pretrained": "absent.pt"})
    model = build_on_meta(config.model)
    assert {p.device for p in model.parameters()} == {torch.device("meta")}
    assert config.model.encoder.pretrained == "absent.pt"


def test_the_reader_follows_mmengine(tmp_path):
    read_config(config_dir() / "_base_/default_runtime.py")  # sets OVSS_CONFIGS, which configs use
    for file in glob.glob(f"{config_dir()}/**/*.py", recursive=True):
        if not file.endswith("__init__.py"):
            expected = Config.fromfile(file, import_custom_modules=False)
            assert repr(read_config(file).to_dict()) == repr(expected.to_dict()), file

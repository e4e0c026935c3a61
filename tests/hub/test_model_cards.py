"""Cards of the bundled models say what the configs, the weights and the protocols say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import ovss
from ovss.api.facts import protocol_facts
from ovss.cli import main
from ovss.hub.records import read_model_description
from ovss.models.configs import load_config
from ovss.results.facts import bundled_metrics, recorded_metric

NAMES = [entry.name for entry in ovss.list_models(bundled=True) if not entry.upper_bound]


@pytest.fixture(scope="module")
def tool(repo_root: Path):
    spec = importlib.util.spec_from_file_location("cards", repo_root / "tools/model_cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_configs(tool):
    wanted = tool.pages()
    assert set(tool.FOLDER.glob("*.md")) == set(wanted)
    stale = [path.name for path, text in wanted.items() if path.read_text() != text]
    assert stale == [], "run: python tools/model_cards.py"


def test_every_bundled_model_has_a_result_of_the_protocol_that_runs():
    assert sorted(bundled_metrics()) == sorted(NAMES)
    for name, metric in bundled_metrics().items():
        assert metric.full_hash == protocol_facts(load_config(name))["full_hash"], name
        assert metric.images == 200


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_reads_the_card(repo_root, name):
    data = ModelCard.load(repo_root / "docs" / "models" / f"{name}.md").data
    assert data.license == "apache-2.0"
    assert data.eval_results[0].metric_value == round(bundled_metrics()[name].values["mIoU"], 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_results_belong_to_the_bundled_weights(name):
    assert recorded_metric(name, ovss.create_model(name)) is not None


def test_saving_a_bundled_model_keeps_its_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["save", "maskclip_mini", "a"]) == 0
    facts = read_model_description(tmp_path / "a" / "config.json").facts
    assert facts.metrics == (bundled_metrics()["maskclip_mini"],)
    assert main(["save", "maskclip_mini", "b", "--cfg-options", "model.inference.size=64"]) == 0
    assert read_model_description(tmp_path / "b" / "config.json").facts.metrics == ()


def test_listing(capsys):
    names = {entry.name for entry in ovss.list_models(bundled=True, method="dcp-clip")}
    assert names == {"dcp_clip_mini", "dcp_clip_mini_web"}
    assert {entry.plugin for entry in ovss.list_models("san_*")} == {"san"}
    assert all(entry.at_hand for entry in ovss.list_models(bundled=True))
    assert not any(entry.at_hand for entry in ovss.list_models("cat_seg_vit*"))
    assert [e.name for e in ovss.list_models(plugin="sed", bundled=False)] == [
        "sed_convnext-b",
        "sed_convnext-l",
    ]


def test_creating(tmp_path):
    model = ovss.create_model("cat_seg_mini", overrides={"model.inference.size": 64})
    assert (model.training, model.inference.size) == (False, 64)
    random = ovss.create_model("cat_seg_vit-b16", pretrained=False, overrides={})
    assert not random.training
    with pytest.raises(ValueError, match="names no trained weights"):
        ovss.create_model("lseg_mini")
    ovss.Inferencer("sclip_mini", device="cpu").save_pretrained(tmp_path / "a")
    saved = ovss.create_model(tmp_path / "a")
    assert type(saved.encoder) is type(ovss.create_model("sclip_mini").encoder)
    with pytest.raises(ValueError, match="weights of its own"):
        ovss.create_model(tmp_path / "a", pretrained=False)

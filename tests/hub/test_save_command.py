"""`ovss save`: the folder, its card, results that belong to it, and the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from ovss import Inferencer
from ovss.cli import main
from ovss.hub.records import SavedModelError, read_model_description
from ovss.io.locks import HAS_LOCKS
from tests.hub.hub_server import Hub, serving
from tests.tiny_config import write_tiny_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tiny(tmp_path) -> str:
    return str(write_tiny_config(tmp_path))


def save(*arguments: str) -> int:
    return main(["save", *arguments])


def test_a_folder_from_a_config_and_again_from_the_folder(tiny, tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    assert save(tiny, str(first), "--weights", "none", "--training", "Drawn shapes.") == 0
    assert "states no licence" in capsys.readouterr().out
    assert save(str(first), str(second), "--license", "mit", "--half") == 0
    assert "licence" not in capsys.readouterr().out
    facts = read_model_description(second / "config.json").facts
    assert (facts.license, facts.training) == ("mit", "Drawn shapes.")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (first, second)]
    assert sizes[1] < 0.6 * sizes[0]
    image = np.full((30, 40, 3), 90, np.uint8)
    for folder in (first, second):
        result = Inferencer(str(folder), device="cpu")(image, "cat, dog")
        assert "random weights" in result.note


def test_an_existing_folder(tiny, tmp_path, capsys):
    target = tmp_path / "a"
    target.mkdir()
    assert save(tiny, str(target), "--weights", "none") == 0
    before = (target / "config.json").read_bytes()
    assert save(tiny, str(target), "--weights", "none") == 1
    assert "--force" in capsys.readouterr().err
    assert save(tiny, str(target), "--weights", "none", "--force", "--license", "mit") == 0
    assert (target / "config.json").read_bytes() != before
    (target / "photo.jpg").touch()
    assert save(tiny, str(target), "--weights", "none", "--force") == 1
    assert "something other than a model" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "tiny.py"]


def test_a_failure_leaves_nothing(tiny, tmp_path, monkeypatch):
    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ovss.hub.saving.model_card", fail)
    assert save(tiny, str(tmp_path / "a"), "--weights", "none") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.py"]


def test_wrong_usage(tiny, tmp_path, capsys):
    cases = {
        (tiny,): "Expected a folder",
        (tiny, str(tmp_path / "a"), "--private"): "need --push-to",
        (tiny, str(tmp_path / "a"), "--result", "absent.json"): "absent.json",
        (tiny, "--push-to", "me/x"): "config.json",
        (tiny, "--push-to", "x"): "organisation/name",
    }
    for arguments, part in cases.items():
        assert save(*arguments) == 1
        assert part in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_value_that_json_cannot_hold(tiny, tmp_path):
    run = Inferencer(tiny, weights=None, device="cpu")
    run._method.config.model.decoder.scale = float("inf")
    with pytest.raises(SavedModelError, match=r"model\.decoder\.scale is not a plain value: inf"):
        run.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_card_is_what_the_hub_reads_and_names_the_protocol(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["test", "maskclip_mini", "--limit", "3", "--out", "r.json"]) == 0
    assert save("maskclip_mini", "model", "--result", "r.json") == 0
    card = ModelCard.load(tmp_path / "model" / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["library_name"] == "ovss"
    assert data["pipeline_tag"] == "image-segmentation"
    (result,) = card.data.eval_results
    recorded = json.loads(Path("r.json").read_text())
    assert result.metric_value == round(recorded["metrics"]["mIoU"], 2)
    assert recorded["protocol"]["full_hash"] in result.metric_name
    assert result.dataset_name == "mini_150 (limit 3)"
    metric = read_model_description(Path("model/config.json")).facts.metrics[0]
    assert metric.full_hash == recorded["protocol"]["full_hash"]
    assert save("naclip_mini", "other", "--result", "r.json") == 1
    assert "belongs to the method 'maskclip_mini'" in capsys.readouterr().err
    Path("tuned").mkdir()
    Path("tuned/maskclip_mini.py").write_text(
        "_base_ = ['{{$OVSS_CONFIGS:}}/training_free/maskclip_mini.py']\n"
    )
    random = ("--cfg-options", "model.encoder.pretrained=None")
    assert save("tuned/maskclip_mini.py", "x", "--result", "r.json", *random) == 1
    assert "other weights" in capsys.readouterr().err


def test_segmenting_with_a_folder(saved, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    call = ["segment", str(tmp_path / "p.png"), "--words", "a,b", "--model", str(saved)]
    assert main([*call, "--out", str(tmp_path / "out"), "--synonyms", "max"]) == 0
    assert (tmp_path / "out" / "p_overlay.png").is_file()
    assert main([*call, "--out", str(tmp_path / "out"), "--weights", "none"]) == 1


def push(hub: Hub, folder: Path, *arguments: str, token: str = "secret") -> tuple[int, str]:
    """Runs `ovss save FOLDER --push-to ...` in a process of its own."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": token, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "ovss", "save", str(folder), "--push-to", *arguments],
        capture_output=True,
        text=True,
        env={**environment, "HF_HOME": str(folder.parent / "home")},
    )
    return done.returncode, done.stdout + done.stderr


def test_pushing_to_the_hub(saved, changed, tmp_path):
    folder = changed()
    (folder / "notes.txt").write_text("not a part of the model")
    (tmp_path / "pushed").mkdir()
    with serving(Hub({"me/tiny": tmp_path / "pushed"})) as hub:
        status, text = push(hub, folder, "me/tiny", "--private")
        assert status == 0, text
        assert f"pushed to {hub.url}/me/tiny/commit/" in text
        assert hub.created == {"me/tiny": True}
        found = {path.name: path.read_bytes() for path in (tmp_path / "pushed").iterdir()}
        assert found == {path.name: (folder / path.name).read_bytes() for path in saved.iterdir()}
        status, text = push(hub, folder, "me/tiny", token="wrong")
        assert status == 1
        assert "could not be pushed to me/tiny" in text
        (folder / "model.safetensors").write_bytes(b"x")
        hub.requests.clear()
        status, text = push(hub, folder, "me/tiny")
        assert status == 1
        assert "SHA-256" in text
        assert not hub.requests


@pytest.mark.skipif(not HAS_LOCKS, reason="leftovers are recognised by locks")
def test_a_process_that_is_killed_changes_nothing(tiny, tmp_path):
    target = tmp_path / "a"
    assert save(tiny, str(target), "--weights", "none") == 0
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    code = (
        "import os, sys, ovss.hub.saving as saving\n"
        "saving.model_card = lambda *a: os.kill(os.getpid(), 9)\n"
        "from ovss.cli import main\n"
        "main(['save', sys.argv[1], sys.argv[2], '--weights', 'none', '--half', '--force'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny, str(target)], cwd=ROOT)
    assert done.returncode == -9
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert len(list(tmp_path.glob(".a.*"))) == 1  # what it left behind
    assert save(tiny, str(target), "--weights", "none", "--half", "--force") == 0
    assert (target / "model.safetensors").stat().st_size < len(before["model.safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "tiny.py"]

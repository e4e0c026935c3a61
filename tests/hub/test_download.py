"""The real client of the hub, against a server on this machine that answers as the hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.hub_server import COMMIT, Hub, serving

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, sys
from ovss import Inferencer
from ovss.hub.download import DownloadOptions, model_folder
answers = []
for call in json.loads(sys.argv[1]):
    name, options, how = call["name"], call.get("options", {}), call.get("how", "folder")
    try:
        if how == "load":
            answers.append(repr(Inferencer.from_pretrained(name, device="cpu", **options)))
        elif how == "model":
            answers.append(repr(Inferencer(name, device="cpu")))
        else:
            answers.append(str(model_folder(name, DownloadOptions(**options))))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
print("answers", json.dumps(answers))
"""
Ask = Callable[..., list[str]]


@pytest.fixture(scope="module")
def hub(saved):
    (saved.parent / "empty").mkdir(exist_ok=True)
    repositories = {"me/tiny": saved, "me/private": saved, "me/empty": saved.parent / "empty"}
    with serving(Hub(repositories, private=("me/private",))) as running:
        yield running


@pytest.fixture
def ask(hub, tmp_path) -> Ask:
    """Function that makes calls in one fresh process, whose cache is empty at first."""

    def run(*calls: dict, **variables: str) -> list[str]:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(calls)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("answers ")[2])

    return run


def test_a_repository_is_downloaded_once_and_then_cached(hub, ask, saved):
    (saved / "secret.py").write_text("raise SystemExit")  # files that are no part of a model
    hub.requests.clear()
    try:
        first, second, third = ask(
            {"name": "me/tiny", "how": "load"},
            {"name": "me/tiny", "options": {"revision": "v1"}},
            {"name": "hf-hub:me/tiny", "how": "model"},
        )
    finally:
        (saved / "secret.py").unlink()
    assert first.startswith("<Inferencer tiny on cpu")
    assert third == first
    assert Path(second).name == COMMIT
    assert hub.downloaded() == {"config.json", "model.safetensors", "README.md"}
    sent = [line for line in hub.requests if line.startswith("GET ") and "/resolve/" in line]
    assert len(sent) == 3
    offline = ask({"name": "me/tiny", "how": "load"}, HF_HUB_OFFLINE="1")
    assert offline == [first]
    unreachable = ask({"name": "me/tiny", "how": "load"}, HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable == [first]
    hub.requests.clear()
    local = ask({"name": "me/tiny", "how": "load", "options": {"local_files_only": True}})
    assert local == [first]
    assert not [line for line in hub.requests if "me/tiny" in line]


def test_errors_are_one_sentence(hub, ask, tmp_path):
    cache = str(tmp_path / "elsewhere")
    answers = ask(
        {"name": "me/nothing"},
        {"name": "me/tiny", "options": {"revision": "v99"}},
        {"name": "me/private"},
        {"name": "me/private", "options": {"token": "secret", "cache_dir": cache}},
        {"name": "me/tiny", "options": {"local_files_only": True}},
        {"name": "me/empty", "how": "load"},
        {"name": "a/b/c"},
        {"name": "me--x/tiny"},
    )
    expected = [
        "does not exist on the hub, or is private",
        "me/tiny at v99 has no such revision",
        "pass a token",
        cache,
        "not in the cache",
        "holds no model",
        "neither",
        "neither",
    ]
    for answer, part in zip(answers, expected, strict=True):
        assert part in answer
        assert "\n" not in answer
    assert "Error" not in answers[3]


def test_offline_and_not_cached(ask):
    for variables in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        (answer,) = ask({"name": "me/tiny", "how": "load"}, **variables)
        assert answer.startswith("SavedModelError: The model me/tiny is not in the cache")
        assert "\n" not in answer

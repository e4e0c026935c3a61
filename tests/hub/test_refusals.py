"""A folder comes from anywhere: it runs nothing, leads nowhere, and fails with one sentence."""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ovss import Inferencer
from ovss.cli import main
from ovss.hub.loading import load_model
from ovss.hub.records import SavedModelError
from ovss.io.weight_files import CheckpointError, file_sha256
from ovss.models.config_source import ConfigError
from tests.fuzz.odd import VALUES, places_of, with_value
from tests.hub.small_blocks import write_config

MODULE = "canary_of_a_model"
FIRE = f"{MODULE}.fire"
REFUSED = {
    "model.type": FIRE,
    "model.encoder.type": FIRE,
    "model.head": {"type": "os.system", "command": "touch canary"},
    "model.decoder": {"type": ["os.system"]},
    "model.selector": {"type": "mmengine.registry.Registry", "name": "x"},
    "model.post_processor": {"type": "Chain", "steps": [{"type": FIRE}]},
    "model.encoder._scope_": f"{MODULE}_scope",
    "model.encoder.dense": {"type": MODULE},
    "model.init_cfg": {"type": "Pretrained", "checkpoint": "data.pkl"},
    "model.data_preprocessor": {"type": FIRE},
    "model.encoder.pretrained": "https://x.invalid/weights.pt",
    "model.encoder.model": "hf-hub:org/name",
    "modules": [MODULE],
    "plugins": [{"name": "nobody", "distribution": "nobody-seg", "version": "1.0"}],
}
ODD = {
    "absolute path": ("model.encoder.model", "/etc/passwd.json"),
    "home": ("model.encoder.pretrained", "~/weights.safetensors"),
    "parent": ("model.encoder.model", "assets/../../x.json"),
    "unknown asset": ("model.encoder.model", "assets/x.json"),
    "windows path": ("model.encoder.model", "C:\\x.json"),
    "unknown component": ("model.encoder.type", "NoSuchEncoder"),
    "unknown option": ("model.encoder.no_such", 3),
    "missing block": ("model.head", None),
    "huge side": ("model.encoder.image_size", 10**15),
    "large side": ("model.encoder.image_size", 2**31),
    "many layers": ("model.encoder.prompt_vectors", 10**6),
    "negative": ("model.encoder.image_size", -5),
    "text for a number": ("model.encoder.image_size", "many"),
    "no model": ("model", None),
    "other format": ("format_version", 2),
    "format as text": ("format_version", "1"),
    "other library": ("library", "timm"),
    "modules as text": ("modules", "os"),
    "plugins as text": ("plugins", ["dcp_clip"]),
    "no hash": ("weights", {"file": "model.safetensors"}),
    "other file": ("weights.file", "../model.safetensors"),
    "wrong hash": ("weights.sha256", "0" * 64),
    "hash as number": ("weights.sha256", 3),
    "asset outside": ("assets", {"../x.json": "0" * 64}),
    "asset absolute": ("assets", {"/etc/hostname": "0" * 64}),
    "asset of code": ("assets", {"assets/x.py": "0" * 64}),
    "no statistics": ("preprocessing", {}),
    "statistics as text": ("preprocessing.statistics", {"encoder.mean_311": "x"}),
    "zero deviation": (
        "preprocessing.statistics",
        {"encoder.mean_311": [1, 2, 3], "encoder.std_311": [1, 0, 1]},
    ),
    "huge statistics": (
        "preprocessing.statistics",
        {"encoder.mean_311": [1, 2, 3], "encoder.std_311": [1, 1e300, 1]},
    ),
    "facts as text": ("facts", "none"),
    "unknown fact": ("facts.more", 1),
    "note as number": ("note", 3),
}


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """File that appears if the module is imported or its function called."""
    path = tmp_path / "canary"
    code = f"from pathlib import Path\nPath({str(path)!r}).touch()\ndef fire(*a, **k): raise 1\n"
    (tmp_path / f"{MODULE}.py").write_text(code)
    (tmp_path / f"{MODULE}_scope").mkdir()
    (tmp_path / f"{MODULE}_scope" / "__init__.py").write_text(f"import {MODULE}")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield path
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]


def refusal(folder: Path) -> str:
    """Message of the error, which is one sentence or two on one line and names the folder."""
    with pytest.raises((ConfigError, CheckpointError, KeyError, TypeError, ValueError)) as caught:
        Inferencer.from_pretrained(folder, device="cpu")
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1200
    return text


@pytest.mark.parametrize("key", REFUSED)
def test_nothing_that_could_run_code_is_accepted(changed, canary, key):
    folder = changed({key: REFUSED[key]})
    shutil.copy(canary.with_name(f"{MODULE}.py"), folder)
    with pytest.raises(ConfigError, match="copy"):
        load_model(folder)
    assert not canary.exists()
    assert MODULE not in sys.modules


@pytest.mark.parametrize("case", ODD)
def test_odd_values_are_one_sentence(changed, case):
    refusal(changed(dict([ODD[case]])))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"library": "ovss", "format_version": NaN}', "\xff", "{}" * 2,
     '{"library":"ovss","format_version":1,"model":' + "[" * 5000, '{"a":1,"a":2}',
     '{"library": "ovss", "format_version": 1e400}'],
)  # fmt: skip
def test_a_broken_config_is_one_sentence(changed, text):
    folder = changed()
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert "config.json" in refusal(folder)


def test_nan_in_the_config(changed):
    folder = changed({"model.decoder.scale": float("nan")})
    assert "NaN" in refusal(folder)


def _with_weights(folder: Path, content: bytes) -> Path:
    """Replaces the weights and their hash, as somebody who means harm would."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    config = folder / "config.json"
    values = json.loads(config.read_text())
    values["weights"]["sha256"] = file_sha256(path)
    config.write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("length", [0, 4, 8, 100, 5000, -1, -1000])
def test_truncated_weights(changed, length):
    folder = changed()
    content = (folder / "model.safetensors").read_bytes()[:length]
    (folder / "model.safetensors").write_bytes(content)
    assert "SHA-256" in refusal(folder)
    assert "truncated or not a safetensors file" in refusal(_with_weights(folder, content))


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_in_the_header(changed, seed):
    folder, chance = changed(), random.Random(seed)
    content = bytearray((folder / "model.safetensors").read_bytes())
    for _ in range(8):
        content[chance.randrange(2000)] = chance.randrange(256)
    refusal(_with_weights(folder, bytes(content)))


@pytest.mark.parametrize("kind", ["fewer", "more", "shape", "nan", "integers"])
def test_other_tensors(changed, kind):
    folder = changed()
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    if kind == "fewer":
        del tensors[name]
    elif kind == "more":
        tensors["more"] = torch.zeros(1)
    elif kind == "shape":
        tensors[name] = tensors[name][1:].clone()
    elif kind == "nan":
        tensors[name][0] = float("nan")
    else:
        tensors[name] = tensors[name].long()
    save_file(tensors, folder / "x.safetensors")
    refusal(_with_weights(folder, (folder / "x.safetensors").read_bytes()))


def test_links_out_of_the_folder(changed, saved, tmp_path):
    folder = changed()
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        (folder / name).symlink_to(saved / name)
        assert "leads out of" in refusal(folder)
        (folder / name).unlink()
        shutil.copy(saved / name, folder / name)
    (tmp_path / "link").symlink_to(folder)  # a link to the whole folder is the user's own
    Inferencer.from_pretrained(tmp_path / "link", device="cpu")


def test_a_pipe_is_not_waited_for(changed):
    folder = changed()
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "named pipe" in refusal(folder)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(SavedModelError, match=r"no config\.json"):
        Inferencer.from_pretrained(tmp_path / "photos")
    with pytest.raises(SavedModelError, match="neither"):
        Inferencer.from_pretrained("dcp_clip_mini")


def test_code_of_the_folder_runs_with_permission_only(changed, canary, tmp_path):
    folder = changed({"modules": ["own_part_of_a_model"], "model.selector": {"type": "OwnKeepAll"}})
    (folder / "own_part_of_a_model.py").write_text(
        "from ovss import SELECTORS, Selection, Selector\n"
        "@SELECTORS.register_module()\n"
        "class OwnKeepAll(Selector):\n"
        "    def forward(self, image, text, keep_BT=None):\n"
        "        return Selection.everything(len(image.pooled_BC), len(text))\n"
    )
    assert "allow_code=True" in refusal(folder)
    run = Inferencer.from_pretrained(folder, device="cpu", allow_code=True)
    assert type(run.model.selector).__name__ == "OwnKeepAll"


def test_the_command_prints_one_line(changed, capsys, tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    folder = changed({"weights.sha256": "0" * 64})
    call = ["segment", str(tmp_path / "p.png"), "--words", "a,b", "--model", str(folder)]
    assert main([*call, "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "SHA-256" in lines[0]


def test_a_config_with_far_more_layers_than_weights(tmp_path):
    run = Inferencer(write_config("scan", tmp_path), weights=None, device="cpu")
    run.save_pretrained(tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    content = json.loads(path.read_text())
    content["model"]["encoder"]["backbone"]["depths"] = [1, 2, 10**6, 1]
    path.write_text(json.dumps(content))
    assert "far more than its weights" in refusal(tmp_path / "copy")


@pytest.mark.parametrize("seed", range(12))
def test_random_changes(changed, seed):
    """Any value of the config replaced by any other: an error for users, or a model."""
    chance, folder = random.Random(seed), changed()
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for _ in range(10):
        place = chance.choice(list(places_of(content))[1:])
        value = chance.choice(VALUES)
        path.write_text(json.dumps(with_value(content, place, value)))
        with suppress(ConfigError, CheckpointError):
            load_model(folder)

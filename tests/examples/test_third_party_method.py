"""A third-party method: its wheel works in a fresh environment like a bundled plugin."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

from ovss.registry import DECODERS
from ovss.testing import check_plugin

PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
SHORT = [
    "train_cfg.max_iters=3",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "val_dataloader.dataset.length=4",
]


@pytest.fixture
def example(repo_root) -> Path:
    return repo_root / "examples" / "third_party_method"


def test_the_suite_passes_from_its_folder(example, monkeypatch):
    monkeypatch.syspath_prepend(str(example))
    already = "AttentionToMaskDecoder" in DECODERS.module_dict
    check_plugin("ovss_attention_masks")
    if not already:
        DECODERS.module_dict.pop("AttentionToMaskDecoder")
        for name in ("ovss_attention_masks", "ovss_attention_masks.decoder"):
            sys.modules.pop(name)


def fresh_environment(folder: Path) -> Path:
    """The interpreter of a new environment that sees this one's packages, and can add its own."""
    venv.create(folder, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    inside = Path(sysconfig.get_path("purelib", "venv", paths))
    lines = [f"import site; site.addsitedir({place!r})\n" for place in site.getsitepackages()]
    (inside / "outer.pth").write_text("".join(lines))
    return folder / "bin" / "python"


@pytest.mark.slow
def test_wheel_in_a_fresh_environment(example, tmp_path):
    pytest.importorskip("setuptools", minversion="70.1", reason="older ones need more to build")
    source = tmp_path / "source"  # building leaves things behind
    shutil.copytree(example, source, ignore=shutil.ignore_patterns("__pycache__", "build"))
    wheel_options = ["--no-deps", "--no-index", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*PIP, "wheel", str(source), *wheel_options], check=True, timeout=300)
    (wheel,) = tmp_path.glob("ovss_attention_masks-*.whl")
    python = fresh_environment(tmp_path / "env")
    install = [str(python), *PIP[1:], "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=300)

    place = tmp_path / "elsewhere"
    place.mkdir()
    Image.effect_noise((60, 40), 60).convert("RGB").save(place / "photo.png")

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(python), "-m", *command],
            cwd=place,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        print(f"$ {' '.join(command)}\n{done.stdout[-1500:]}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ovss(*arguments: str) -> str:
        return run("ovss", *arguments)

    # its own tests, on what is installed
    options = ["-q", "-p", "no:cacheprovider", "-o", "pythonpath=", "--rootdir", str(source)]
    assert "5 passed" in run("pytest", *options, str(source / "tests"))

    found = json.loads(ovss("list", "components", "methods", "plugins", "--json"))
    (plugin,) = (row for row in found["plugins"] if row["name"] == "attention_masks")
    assert plugin["distribution"] == "ovss-attention-masks"
    assert plugin["path"].startswith(str(tmp_path / "env"))
    assert not plugin["problem"]
    assert any(row["name"] == "AttentionToMaskDecoder" for row in found["components"])
    (method,) = (row for row in found["methods"] if row["name"] == "attention_masks_mini")
    assert method["path"].startswith(plugin["path"])
    assert "attention_masks" in ovss("convert", "--help")
    output = ovss("list", "--compatible-with", "attention_masks_mini")
    assert "fits  DynamicCategorySelector" in output

    ovss("train", "attention_masks_mini", "--work-dir", "run", "--cfg-options", *SHORT)
    curve = [json.loads(line) for line in (place / "run/curve.jsonl").read_text().splitlines()]
    assert [row["iter"] for row in curve if "loss" in row] == [1, 2, 3]
    weights = ["--weights", "run/weights.safetensors"]
    words = ["--words", "red square, grass, lava"]
    output = ovss("segment", "photo.png", "--model", "attention_masks_mini", *weights, *words)
    assert "1 of 1 " in output
    assert (place / "outputs" / "photo_overlay.png").is_file()

"""A model that was saved here and moved works where only the wheel is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss import Inferencer
from tests.hub.load_saved import outputs
from tests.wheels import build_wheel, call_outside, fresh_environment

NAMES = ("dcp_clip_mini", "dpseg_mini")
SCRIPT = Path(__file__).with_name("load_saved.py")


@pytest.mark.slow
def test_a_saved_model_in_a_fresh_environment(repo_root, tmp_path, monkeypatch):
    # text embeddings depend, within rounding, on the names encoded with them; the process in the
    # fresh environment has no cache either
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path / "cache"))
    before = {}
    for name in NAMES:
        run = Inferencer(name, device="cpu")
        before[name] = outputs(run)
        run.save_pretrained(tmp_path / "here" / name)
    shutil.move(tmp_path / "here", tmp_path / "there")
    python = fresh_environment(build_wheel(repo_root, tmp_path), tmp_path / "env")

    def call(*arguments: str) -> str:
        return call_outside(python, arguments, tmp_path)

    place = call("-c", "import ovss, ovss_plugins; print(ovss.__file__, ovss_plugins.__path__)")
    assert place.count(str(tmp_path / "env")) == 2
    folders = [str(tmp_path / "there" / name) for name in NAMES]
    call(str(SCRIPT), str(tmp_path / "out.npz"), *folders)
    after = np.load(tmp_path / "out.npz")
    for name in NAMES:
        assert np.array_equal(before[name], after[name])
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    text = call("-m", "ovss", "segment", "p.png", "--words", "a,b", "--model", folders[0])
    assert "1 of 1 images segmented" in text

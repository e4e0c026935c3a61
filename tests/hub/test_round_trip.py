"""A saved model, moved and loaded in another process, predicts the same bit for bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ovss import Inferencer
from ovss.models.configs import list_configs, load_config, read_config
from ovss.models.parts import is_upper_bound
from ovss.models.plugins import find_plugins
from ovss.results.zoo import weights_state
from tests.hub.load_saved import outputs
from tests.hub.small_blocks import BLOCKS, CONFIGS, OTHERWISE, write_config

BUNDLED = [
    name
    for name, path in list_configs().items()
    if weights_state(path, read_config(path).get("weights")) == "bundled"
    and not is_upper_bound(read_config(path).model.to_dict())
]
QUICK = {"dcp_clip_mini", "dpseg_mini", "fc_clip_mini", "sclip_mini"}
NAMES = [*dict.fromkeys([*BUNDLED, *CONFIGS.values()]), *BLOCKS]


def _cases(names: list[str]) -> list:
    slow = [name for name in names if name not in QUICK and name not in BLOCKS]
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


def _built(name: str, folder: Path) -> Inferencer:
    """Method under a name; what is not trained gets the same random weights in every run."""
    torch.manual_seed(0)
    if name in BLOCKS:
        return Inferencer(write_config(name, folder), weights=None, device="cpu")
    config = load_config(name)
    weights = "default" if name in BUNDLED or config.get("weights") else None
    return Inferencer(name, weights=weights, device="cpu")


@pytest.fixture(scope="module")
def found(request, tmp_path_factory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> label maps and probabilities, before and after; one process loads all folders."""
    place = tmp_path_factory.mktemp("saved")
    slow = request.config.getoption("--slow")
    names = [name for name in NAMES if slow or name in QUICK or name in BLOCKS]
    before = {}
    for name in names:
        run = _built(name, place)
        before[name] = outputs(run)
        run.save_pretrained(place / "here" / name)
    shutil.move(place / "here", place / "there")
    script = Path(__file__).with_name("load_saved.py")
    folders = [str(place / "there" / name) for name in names]
    root = script.resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script), str(place / "out.npz"), *folders],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    after = np.load(place / "out.npz")
    return {name: (before[name], after[name]) for name in names}


@pytest.mark.parametrize("name", _cases(NAMES))
def test_what_it_predicts_is_the_same(found, name):
    before, after = found[name]
    assert np.array_equal(before, after)
    assert before[1:].std() > 0


def test_every_plugin_has_a_case():
    assert {p.name for p in find_plugins() if p.module.startswith("ovss_plugins")} == {
        *BLOCKS, *CONFIGS, *OTHERWISE
    }  # fmt: skip


@pytest.mark.parametrize("plugin", ["spnet", "scan"])
def test_a_backbone_is_not_mistaken_for_that_of_another_package(tmp_path, plugin):
    """mmseg registers a ResNet and a Swin of its own, once it is imported."""
    import mmseg.models  # noqa: F401

    run = _built(plugin, tmp_path)
    run.save_pretrained(tmp_path / "a")
    assert np.array_equal(outputs(Inferencer.from_pretrained(tmp_path / "a")), outputs(run))

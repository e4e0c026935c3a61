"""A saved model that the tests of this folder share, and copies of it to damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ovss import Inferencer
from tests.tiny_config import write_tiny_config


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """Folder of a small model with random weights."""
    place = tmp_path_factory.mktemp("models")
    run = Inferencer(write_tiny_config(place), weights=None, device="cpu")
    run.save_pretrained(place / "tiny")
    return place / "tiny"


@pytest.fixture
def changed(saved, tmp_path) -> Callable[..., Path]:
    """Function that copies the folder and sets keys of its config, given with dots."""

    def change(values: dict[str, Any] | None = None, **more: Any) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(saved, folder)
        path = folder / "config.json"
        content = json.loads(path.read_text())
        for dotted, value in {**(values or {}), **more}.items():
            block, (*parents, key) = content, dotted.split(".")
            for name in parents:
                block = block[int(name) if isinstance(block, list) else name]
            block[key] = value
        path.write_text(json.dumps(content))
        return folder

    return change

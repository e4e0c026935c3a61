"""Tiny towers of every make, and open_clip's own module with the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from torch import nn

TinyMaker = Callable[..., Path]


@pytest.fixture
def tiny(tmp_path: Path) -> TinyMaker:
    """Write a small model config; keywords change vision_cfg, text_cfg or the top level."""

    def make(vision: dict | None = None, text: dict | None = None, **top: Any) -> Path:
        config = {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 8,
                           "patch_size": 8} | (vision or {}),
            "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2,
                         "layers": 2} | (text or {}),
        } | top  # fmt: skip
        path = tmp_path / f"tiny_{len(list(tmp_path.glob('tiny_*')))}.json"
        path.write_text(json.dumps(config))
        return path

    return make


@pytest.fixture
def reference() -> Callable[[Path], tuple[nn.Module, Path]]:
    """open_clip's own module of a config, with lively weights, and a file that holds them."""

    def make(path: Path) -> tuple[nn.Module, Path]:
        config = json.loads(path.read_text())
        module = (CustomTextCLIP if config.pop("custom_text", False) else CLIP)(**config)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        weights = path.with_suffix(".safetensors")
        save_file(module.state_dict(), weights)
        return module.eval(), weights

    return make

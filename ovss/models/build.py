"""From a config's name to a model that is ready to segment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from ovss.registry import check_arguments
from ovss.segmentor import OpenVocabSegmentor

from .configs import load_config
from .weights import load_trained, pretrained_if_needed


def build_segmentor(
    config: str | Path | Config,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
) -> OpenVocabSegmentor:
    """A method in evaluation mode.

    Args:
        config: a `Config`, or what `load_config` takes.
        weights: see `load_trained`.
        device: where to put it.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    with pretrained_if_needed(config, weights):
        model = build_model(config.model)
    load_trained(model, config, weights)
    return model.to(device).eval()


def build_model(model: dict[str, Any]) -> OpenVocabSegmentor:
    """A segmentor of a config's ``model`` block, as its components make it.

    Raises:
        KeyError, TypeError: no such segmentor, or arguments that it does not take.
    """
    arguments = {k: v for k, v in model.items() if k not in ("type", "_scope_")}
    name = model.get("type", "OpenVocabSegmentor")
    segmentor = MODELS.get(name) if isinstance(name, str) else name
    if segmentor is None:
        raise KeyError(
            f"no segmentor is called {name!r}. If it is in a plugin, name the plugin's module in "
            f"the config: custom_imports = dict(imports=['the_plugin'])"
        )
    check_arguments(segmentor, arguments)
    return segmentor(**arguments)

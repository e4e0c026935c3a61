"""Builds models from configs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss.io.arguments import typed_arguments
from ovss.io.shapes_only import shapes_only
from ovss.segmentor import OpenVocabSegmentor

from .configs import load_config
from .parts import model_without_pretrained
from .validation import check_model
from .weights import load_trained, pretrained_if_needed


@typed_arguments
def build_segmentor(
    config: str | Path | Config,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
) -> OpenVocabSegmentor:
    """Builds a method and loads its trained weights.

    Args:
        config: loaded config, config name or path of a config file.
        weights: checkpoint, ``"default"`` or None, see `load_trained`.
        device: device of the model.

    Returns:
        Model in evaluation mode.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    with pretrained_if_needed(config, weights):
        model = build_model(config.model)
    load_trained(model, config, weights)
    return model.to(device).eval()


def build_model(model: dict[str, Any]) -> OpenVocabSegmentor:
    """Builds the segmentor of a config's ``model`` block. All commands build their model here.

    Raises:
        ConfigError, KeyError, TypeError: unknown segmentor, component or argument, see
            `ovss.models.validation.check_model`.
        ValueError: incompatible components.
    """
    segmentor = check_model(model)
    return segmentor(**{k: v for k, v in model.items() if k not in ("type", "_scope_")})


def build_on_meta(model: Mapping[str, Any]) -> OpenVocabSegmentor:
    """Builds a segmentor on the meta device, without reading pre-trained files, to check it."""
    check_model(model)
    with shapes_only():
        return build_model(model_without_pretrained(model))

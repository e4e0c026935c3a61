"""Models by name, as parts of your own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ovss.hub.download import model_folder
from ovss.hub.loading import load_model
from ovss.io.arguments import typed_arguments
from ovss.models.build import build_model, build_segmentor
from ovss.models.configs import load_config
from ovss.models.parts import model_without_pretrained
from ovss.segmentor import OpenVocabSegmentor

from .method import choose_device, names_saved_model

__all__ = ["create_model"]


@typed_arguments
def create_model(
    name: str | Path,
    *,
    pretrained: bool | str | Path = True,
    device: str | torch.device = "cpu",
    overrides: Mapping[str, Any] | None = None,
) -> OpenVocabSegmentor:
    """Builds a model by name, in evaluation mode.

    `Inferencer` segments images with a vocabulary of yours; this function gives you the module, to
    train it, to take features from it, or to measure it.

    Args:
        name: name of a config, see `list_models`; path of a config file; folder of a saved model;
            or ``"hf-hub:organisation/name"``.
        pretrained: True for the weights of the method, a checkpoint to load in their place, or
            False for random weights, without reading or downloading any file.
        device: device of the model.
        overrides: config keys to change, for example ``{"model.selector.k": 64}``.

    Raises:
        FileNotFoundError, KeyError: the config, the weights or a component does not exist. The
            message suggests the closest names.
        ValueError: a method whose trained weights you need to name, or a device that cannot be
            used.

    Examples:
        >>> model = create_model("cat_seg_mini", pretrained=False)
        >>> model.training, len(model.encode_vocabulary(("cat", "dog")))
        (False, 2)
    """
    place = choose_device(str(device))
    if names_saved_model(name):
        if pretrained is not True:
            raise ValueError(
                f"{name} is a saved model, which has weights of its own. Leave out pretrained"
            )
        return load_model(model_folder(name), device=place, overrides=overrides).model
    config = load_config(name, dict(overrides or {}))
    if pretrained is False:
        return build_model(model_without_pretrained(config.model.to_dict())).to(place).eval()
    return build_segmentor(config, "default" if pretrained is True else pretrained, place)

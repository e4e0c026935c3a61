"""Parts of SAM 3 from transformers: built from a config, filled from a local folder.

The encoder of the method holds the image and text towers, and its decoder holds what runs for each
category. Weights are read from safetensors files only, and nothing in a folder is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt, some_of
from ovss.io.names import printable
from ovss.io.strict_json import parse_json
from ovss.io.weight_files import read_weights
from ovss.proposers.extras import proposer_extra

__all__ = ["DECODER", "ENCODER", "build_sam3"]

ENCODER = ("vision_encoder", "text_encoder", "text_projection")
"""Modules that run once for an image or a name."""

DECODER = ("detr_encoder", "detr_decoder", "mask_decoder", "dot_product_scoring")
"""Modules that run for each category."""

CONFIG, SINGLE, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
PREFIX = "detector_model."
"""Beginning of the names in a checkpoint that also holds the tracker."""


def build_sam3(
    user: str, parts: tuple[str, ...], architecture: dict[str, Any] | None, pretrained: str | None
) -> Any:
    """`Sam3Model` of transformers with some of its modules; the others are removed.

    Args:
        user: class that needs it, for messages.
        parts: modules to keep, `ENCODER` or `DECODER`.
        architecture: arguments of `Sam3Config`; None for those of the folder, or the published
            size.
        pretrained: folder in the layout of transformers, or None for random weights.

    Raises:
        FileNotFoundError: a folder, or a file in it, that does not exist.
        MissingExtraError: transformers is not installed, or too old for SAM 3.
        ValueError: a config of another model, or weights of another architecture.
    """
    package = proposer_extra("transformers", "sam3", user)
    try:
        config_type, model_type = package.Sam3Config, package.Sam3Model
    except AttributeError as error:
        proposer_extra("transformers.models.sam3.modeling_sam3", "sam3", user)
        raise RuntimeError(f"{user} found no Sam3Model in transformers.") from error
    folder = None if pretrained is None else Path(pretrained)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(
            f"{user} expects a folder with {CONFIG} and {SINGLE}, got {printable(folder)}, which "
            f"is not a folder. Correct its path."
        )
    if architecture is None and folder is not None:
        architecture = _read_config(folder)
    sam = model_type(config_type(**(architecture or {}))).eval().requires_grad_(False)
    for name, _ in list(sam.named_children()):
        if name not in parts:
            delattr(sam, name)
    is_meta = next(sam.parameters()).is_meta  # a config is checked, and nothing computed
    if folder is not None and not is_meta and not weights_are_deferred():
        _load(sam, _read_weights(folder), folder)
    return sam


def _read_config(folder: Path) -> dict[str, Any]:
    """Arguments of the config of a folder."""
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{printable(path)} does not exist. Copy the whole folder.")
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{printable(path)} {error}. Copy the file again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{printable(path)} expected an object, got {excerpt(content)}.")
    content = content.get("detector_config", content)  # of a checkpoint with the tracker
    if content.get("model_type") != "sam3":
        raise ValueError(
            f"{printable(path)} expected model_type sam3, got {excerpt(content.get('model_type'))}."
            f" Choose the folder of a SAM 3 model."
        )
    private = ("auto_map", "transformers_version", "architectures", "torch_dtype", "dtype")
    return {key: value for key, value in content.items() if key not in private}


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """Tensors of one file, or of the shards that an index lists."""
    if (folder / SINGLE).is_file():
        return read_weights(folder / SINGLE)[0]
    if not (folder / SHARDS).is_file():
        raise FileNotFoundError(
            f"{printable(folder)} has neither {SINGLE} nor {SHARDS}. Download the weights as "
            f"safetensors."
        )
    table = parse_json((folder / SHARDS).read_bytes())["weight_map"]
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(table.values())):
        if Path(name).name != name:
            raise ValueError(f"{printable(folder / SHARDS)} names a file outside of its folder.")
        tensors |= read_weights(folder / name)[0]
    return tensors


def _load(sam: Any, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Loads the tensors of the modules that are there; all of them must be known."""
    own = sam.state_dict()
    found = {name.removeprefix(PREFIX): value for name, value in tensors.items()}
    wrong = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if wrong:
        raise ValueError(
            f"{printable(folder)} expected weights of SAM 3 in this architecture, but {len(wrong)} "
            f"of {len(own)} tensors are missing or of another shape ({some_of(wrong)}). Use the "
            f"config of the folder."
        )
    sam.load_state_dict({name: found[name].to(torch.float32) for name in own})

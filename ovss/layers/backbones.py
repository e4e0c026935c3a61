"""Image backbones of proposers and encoders: built from a config, filled with published weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt, some_of
from ovss.io.option_values import check_values
from ovss.io.weight_files import read_weights

from .resnet import ResNet
from .swin import Swin
from .timm_vit import TimmViT

__all__ = ["BACKBONES", "build_backbone"]

BACKBONES: dict[str, Callable[..., Any]] = {
    "ResNet": ResNet,
    "Swin": Swin,
    "TimmViT": TimmViT,
}
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def build_backbone(config: dict[str, Any]) -> Any:
    """Builds a backbone.

    Args:
        config: key of `BACKBONES` as ``type``; its arguments; and ``pretrained``: a timm model such
            as ``resnet101.tv_in1k``, a weight file with the names of torchvision or of Swin's
            authors, or None for random weights.

    Raises:
        TypeError: an argument that the backbone does not have.
        ValueError: an unknown type.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, or belong to another architecture.
    """
    arguments = dict(config)
    kind, pretrained = arguments.pop("type", None), arguments.pop("pretrained", None)
    if kind not in BACKBONES:
        raise ValueError(
            f"Unknown backbone {excerpt(kind)}. Set its `type` to {' or '.join(BACKBONES)}."
        )
    check_values(BACKBONES[kind], arguments, f"backbone {kind}")
    backbone = BACKBONES[kind](**arguments)
    if pretrained is not None and not weights_are_deferred() and not _has_no_values(backbone):
        _load(backbone, str(pretrained))
    return backbone


def _has_no_values(backbone: Any) -> bool:
    """True on the meta device, where a config is checked and nothing computed."""
    return any(parameter.is_meta for parameter in backbone.parameters())


def _load(backbone: Any, pretrained: str) -> None:
    """Loads published weights; everything of the backbone must be among them."""
    tensors = backbone.from_published(_published(pretrained))
    expected = backbone.state_dict()
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    unequal = [n for n in expected if n in tensors and tensors[n].shape != expected[n].shape]
    if missing or unknown or unequal:
        parts = {"missing": missing, "unexpected": unknown, "of another shape": unequal}
        found = "; ".join(
            f"{len(names)} {kind} ({some_of(names, 3)})" for kind, names in parts.items() if names
        )
        raise RuntimeError(
            f"The weights {pretrained} do not fit the backbone {type(backbone).__name__}: {found}. "
            f"Use weights of this architecture."
        )
    backbone.load_state_dict(tensors)


def _published(pretrained: str) -> dict[str, Tensor]:
    """Tensors of a weight file, or of a timm model, which is downloaded unless it is cached."""
    if pretrained.endswith(SUFFIXES) or "/" in pretrained:
        if not Path(pretrained).is_file():
            raise FileNotFoundError(
                f"Weight file {pretrained} of the backbone does not exist. Check the path."
            )
        return read_weights(pretrained)[0]
    import timm

    if not timm.is_model(pretrained):
        raise ValueError(
            f"Unknown weights {excerpt(pretrained)} of a backbone. Use a model of timm or the path "
            f"of a local file."
        )
    try:
        with torch.device("cpu"):
            return timm.create_model(pretrained, pretrained=True).state_dict()
    except Exception as error:  # the network, the hub client and the disk raise many kinds
        raise RuntimeError(
            f"The backbone weights {pretrained!r} are not cached and could not be downloaded "
            f"({type(error).__name__}: {error}). Without a network, copy the file to this machine "
            f"and set pretrained='/path/to/weights.safetensors' in the backbone's config."
        ) from error

"""CLIP architectures: reading model configs, checking that they are supported, building modules."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt
from ovss.io.shapes_only import shapes_only

from .attention import split_attention
from .bare_clip import BareCLIP, can_build_bare
from .mlp import speed_up_mlp

__all__ = [
    "CONFIGS",
    "build_clip",
    "check_architecture",
    "check_convnext",
    "check_text",
    "check_timm",
    "read_model_config",
    "with_dropout",
]

CONFIGS = Path(__file__).parent
CUSTOM_BLOCK_KEYS = (
    "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
)  # fmt: skip


def read_model_config(model: str) -> dict[str, Any]:
    """Reads the config of an architecture.

    Args:
        model: name of an open_clip architecture, name of a bundled config (``mini_clip``), or path
            of a JSON file in open_clip's format.

    Raises:
        FileNotFoundError: a path that does not exist.
        ValueError: an unknown name, or a file that does not hold a model config.
    """
    bundled = CONFIGS / f"{model}.json"
    if model.endswith(".json") or bundled.is_file():
        path = bundled if bundled.is_file() else Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"Model config {path} does not exist. Check the path.")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"Model config {path} is not valid JSON: {error}.") from error
        missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
        if missing:
            raise ValueError(
                f"{path} is not an open_clip model config because it lacks {', '.join(missing)}."
            )
        return config
    import open_clip

    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        known = [*open_clip.list_models(), *(path.stem for path in CONFIGS.glob("*.json"))]
        close = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
        raise ValueError(
            f"Unknown open_clip architecture {excerpt(model)}. "
            + (f"Did you mean {' or '.join(close)}? " if close else "")
            + "Use a name from open_clip.list_models() or the path of a model JSON file."
        )
    return copy.deepcopy(config)


def _vit_problem(config: dict[str, Any]) -> str | None:
    """Reason why `OpenCLIPEncoder` does not support an image tower, or None."""
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return (
            f"its image tower is timm's {vision['timm_model_name']}, not open_clip's own ViT; use "
            f"TimmCLIPEncoder or OpenCLIPConvNeXtEncoder"
        )
    if isinstance(vision.get("layers"), (list, tuple)):
        return "its image tower is a ResNet, not a ViT"
    if vision.get("attentional_pool"):
        return "its attentional pooler does not give dense tokens in the joint space"
    if vision.get("pool_type", "tok") not in ("tok", "avg"):
        return f"its image pool type {vision['pool_type']!r} does not give a pooled embedding"
    return _block_problem(vision)


def _convnext_problem(config: dict[str, Any]) -> str | None:
    """Reason why `OpenCLIPConvNeXtEncoder` does not support an image tower, or None."""
    from timm.models import is_model_in_modules

    vision = config["vision_cfg"]
    name = vision.get("timm_model_name")
    if not name:
        return "its image tower is open_clip's own, not a ConvNeXt of timm; use OpenCLIPEncoder"
    if not is_model_in_modules(name, ["convnext"]):
        return f"its image tower is timm's {name}, not a ConvNeXt"
    if vision.get("timm_pool") or vision.get("timm_proj") not in ("linear", "mlp"):
        return "its image head is not a projection of the mean over cells"
    return None


def _timm_problem(config: dict[str, Any]) -> str | None:
    """Reason why `TimmCLIPEncoder` does not support an image tower, or None."""
    import timm

    from .timm_tower import tower_problem

    vision = config["vision_cfg"]
    name = vision.get("timm_model_name")
    if not name:
        return "its image tower is open_clip's own, not one of timm; use OpenCLIPEncoder"
    if not timm.is_model(name):
        return f"its image tower {name} is not a model of the installed timm"
    if vision.get("timm_pool") in ("abs_attn", "rot_attn"):
        return f"its image pool {vision['timm_pool']!r} does not give dense tokens"
    with shapes_only():
        trunk = timm.create_model(name, num_classes=0)
    return tower_problem(trunk, vision.get("timm_pool", "avg"))


def _text_problem(config: dict[str, Any]) -> str | None:
    """Reason why a text tower is not supported, or None."""
    text = config["text_cfg"]
    if text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {text['hf_model_name']}, not open_clip's own"
    if text.get("embed_cls"):
        return "its text tower appends a class token (CoCa)"
    if text.get("pool_type", "argmax") not in ("argmax", "eos", "first", "last"):
        return f"its text pool type {text['pool_type']!r} does not give a text embedding"
    return _block_problem(text)


def _block_problem(side: dict[str, Any]) -> str | None:
    used = [key for key in CUSTOM_BLOCK_KEYS if side.get(key)]
    if used or side.get("block_type") not in (None, "default"):
        return f"its transformer blocks are custom ({', '.join(used) or 'block_type'})"
    return None


def check_architecture(model: str, config: dict[str, Any]) -> None:
    """Checks that `OpenCLIPEncoder` supports an architecture.

    Raises:
        ValueError: an unsupported architecture. The message gives the reason.
    """
    reason = _vit_problem(config) or _text_problem(config)
    if reason:
        raise ValueError(f"{model} cannot be used with OpenCLIPEncoder because {reason}.")


def check_convnext(model: str, config: dict[str, Any]) -> None:
    """Checks that `OpenCLIPConvNeXtEncoder` supports an architecture.

    Raises:
        ValueError: an unsupported architecture. The message gives the reason.
    """
    reason = _convnext_problem(config) or _text_problem(config)
    if reason:
        raise ValueError(f"{model} cannot be used with OpenCLIPConvNeXtEncoder because {reason}.")


def check_timm(model: str, config: dict[str, Any]) -> None:
    """Checks that `TimmCLIPEncoder` supports an architecture.

    Raises:
        ValueError: an unsupported architecture. The message gives the reason.
    """
    reason = _timm_problem(config) or _text_problem(config)
    if reason:
        raise ValueError(f"{model} cannot be used with TimmCLIPEncoder because {reason}.")


def check_text(model: str, config: dict[str, Any]) -> None:
    """Checks that the text tower of an architecture is supported, with any image tower.

    Raises:
        ValueError: an unsupported text tower. The message gives the reason.
    """
    reason = _text_problem(config)
    if reason:
        raise ValueError(f"The text tower of {model} cannot be used because {reason}.")


def with_dropout(config: dict[str, Any], drop_path: float, dropout: float) -> dict[str, Any]:
    """Replaces the dropout rates in the config of a timm image tower.

    Args:
        config: model config.
        drop_path: stochastic depth rate of the last block.
        dropout: dropout rate of the image head.

    Raises:
        ValueError: a rate that is negative, or 1 or more.
    """
    for name, rate in (("drop_path", drop_path), ("dropout", dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be at least 0 and less than 1, got {rate}.")
    rates = {"timm_drop_path": drop_path, "timm_drop": dropout}
    return {**config, "vision_cfg": {**config["vision_cfg"], **rates}}


def build_clip(config: dict[str, Any], fill: bool = True) -> nn.Module:
    """Builds CLIP with split attention, as open_clip names its parts; also on the meta device.

    Args:
        config: model config of a supported architecture.
        fill: True to draw random weights. False leaves parameters uninitialised, which is much
            faster if weights are loaded afterwards, as inside `weights_come_later`.
    """
    device = torch.get_default_device()
    is_bare = can_build_bare(config) and (not fill or weights_are_deferred())
    fill = fill and not is_bare
    with device if fill else shapes_only():
        clip = BareCLIP(config) if is_bare else _open_clip(config)
    if fill:
        return clip
    _make_room(clip, device)
    # The causal mask is a buffer that the state dict does not hold, so it is filled in here.
    text = dict(clip.named_children()).get("text", clip)
    if text.attn_mask is not None:
        text.attn_mask.fill_(-torch.inf).triu_(1)
    return clip


def _make_room(module: nn.Module, device: torch.device) -> None:
    """Replaces tensors on the meta device by uninitialised ones, as `nn.Module.to_empty` does.

    That method imports torch's symbolic shapes, which takes as long as building the module.
    """
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            empty = torch.empty(value.shape, dtype=value.dtype, device=device)
            part.register_parameter(name, nn.Parameter(empty, value.requires_grad))
        for name, value in part.named_buffers(recurse=False):
            setattr(part, name, torch.empty(value.shape, dtype=value.dtype, device=device))


def _open_clip(config: dict[str, Any]) -> nn.Module:
    """CLIP as open_clip builds it, with split attention and faster MLPs."""
    from open_clip.model import CLIP, CustomTextCLIP

    config = {key: value for key, value in config.items() if key != "preprocess_cfg"}
    kind = CustomTextCLIP if config.pop("custom_text", False) else CLIP
    clip = kind(**config)
    for tower in (clip.visual, dict(clip.named_children()).get("text", clip)):
        parts = dict(tower.named_children())
        if "transformer" in parts:
            split_attention(parts["transformer"].resblocks)
            speed_up_mlp(parts["transformer"].resblocks)
        elif "stages" in dict(parts["trunk"].named_children()):  # timm's ConvNeXt
            for stage in parts["trunk"].stages:
                speed_up_mlp(stage.blocks)
    return clip

"""Model configs: from a name to a CLIP module of random weights, or a clear no."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .attention import split_attention
from .mlp import quicken_mlp

__all__ = [
    "CONFIGS",
    "build_clip",
    "check_architecture",
    "check_convnext",
    "read_model_config",
    "with_dropout",
]

CONFIGS = Path(__file__).parent
CUSTOM_BLOCK_KEYS = (
    "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
)  # fmt: skip


def read_model_config(model: str) -> dict[str, Any]:
    """The config of an architecture.

    Args:
        model: an open_clip architecture name, the name of a config shipped beside this file
            (``mini_clip``), or the path of a JSON file of the same form.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: an unknown name, with the closest known ones, or a JSON that is no model config.
    """
    shipped = CONFIGS / f"{model}.json"
    if model.endswith(".json") or shipped.is_file():
        path = shipped if shipped.is_file() else Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"no model config at {path}")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
        if missing:
            raise ValueError(f"{path} is no open_clip model config: it lacks {', '.join(missing)}")
        return config
    import open_clip

    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        known = [*open_clip.list_models(), *(path.stem for path in CONFIGS.glob("*.json"))]
        close = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
        raise ValueError(
            f"open_clip has no architecture {model!r}; "
            + (f"did you mean {' or '.join(close)}? " if close else "")
            + "Every name: open_clip.list_models(); a path to a model JSON works too"
        )
    return copy.deepcopy(config)


def _why_not_vit(config: dict[str, Any]) -> str | None:
    """Why an image tower cannot be an `OpenCLIPEncoder`'s, or None."""
    vision = config["vision_cfg"]
    if vision.get("timm_model_name"):
        return f"its image tower is timm's {vision['timm_model_name']}, not open_clip's own ViT"
    if isinstance(vision.get("layers"), (list, tuple)):
        return "its image tower is a ResNet, not a ViT"
    if vision.get("attentional_pool"):
        return "its attentional pooler leaves no dense tokens in the joint space"
    if vision.get("pool_type", "tok") not in ("tok", "avg"):
        return f"its image pool type {vision['pool_type']!r} gives no pooled embedding"
    return _custom_blocks(vision)


def _why_not_convnext(config: dict[str, Any]) -> str | None:
    """Why an image tower cannot be an `OpenCLIPConvNeXtEncoder`'s, or None."""
    from timm.models import is_model_in_modules

    vision = config["vision_cfg"]
    name = vision.get("timm_model_name")
    if not name:
        return "its image tower is open_clip's own, no ConvNeXt of timm: use OpenCLIPEncoder"
    if not is_model_in_modules(name, ["convnext"]):
        return f"its image tower is timm's {name}, no ConvNeXt"
    if vision.get("timm_pool") or vision.get("timm_proj") not in ("linear", "mlp"):
        return "its image head is not a projection of the mean over cells"
    return None


def _why_not_text(config: dict[str, Any]) -> str | None:
    text = config["text_cfg"]
    if text.get("hf_model_name"):
        return f"its text tower is Hugging Face's {text['hf_model_name']}, not open_clip's own"
    if text.get("embed_cls"):
        return "its text tower appends a class token (CoCa)"
    if text.get("pool_type", "argmax") not in ("argmax", "eos", "first", "last"):
        return f"its text pool type {text['pool_type']!r} gives no text embedding"
    return _custom_blocks(text)


def _custom_blocks(side: dict[str, Any]) -> str | None:
    used = [key for key in CUSTOM_BLOCK_KEYS if side.get(key)]
    if used or side.get("block_type") not in (None, "default"):
        return f"its transformer blocks are custom ({', '.join(used) or 'block_type'})"
    return None


def check_architecture(model: str, config: dict[str, Any]) -> None:
    """Refuse what cannot give dense tokens in the joint space.

    Raises:
        ValueError: naming the reason.
    """
    reason = _why_not_vit(config) or _why_not_text(config)
    if reason:
        raise ValueError(f"{model} cannot be used as OpenCLIPEncoder: {reason}")


def check_convnext(model: str, config: dict[str, Any]) -> None:
    """Refuse what is no ConvNeXt beside open_clip's own text tower.

    Raises:
        ValueError: naming the reason.
    """
    reason = _why_not_convnext(config) or _why_not_text(config)
    if reason:
        raise ValueError(f"{model} cannot be used as OpenCLIPConvNeXtEncoder: {reason}")


def with_dropout(config: dict[str, Any], drop_path: float, dropout: float) -> dict[str, Any]:
    """The config of a timm image tower with these rates instead of its pre-training's.

    Raises:
        ValueError: a rate outside 0..1.
    """
    for name, rate in (("drop_path", drop_path), ("dropout", dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name} is a share of at least 0 and below 1, got {rate}")
    rates = {"timm_drop_path": drop_path, "timm_drop": dropout}
    return {**config, "vision_cfg": {**config["vision_cfg"], **rates}}


def build_clip(config: dict[str, Any], fill: bool = True) -> nn.Module:
    """open_clip's CLIP module with split attention; works under ``torch.device("meta")``.

    Args:
        config: a checked model config.
        fill: draw random weights; without, parameters are uninitialised memory, much sooner.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    config = {key: value for key, value in config.items() if key != "preprocess_cfg"}
    kind = CustomTextCLIP if config.pop("custom_text", False) else CLIP
    device = torch.get_default_device()
    with device if fill else torch.device("meta"):
        clip = kind(**config)
        text = dict(clip.named_children()).get("text", clip)
        for tower in (clip.visual, text):
            parts = dict(tower.named_children())
            if "transformer" in parts:
                split_attention(parts["transformer"].resblocks)
                quicken_mlp(parts["transformer"].resblocks)
            else:  # a ConvNeXt of timm
                for stage in parts["trunk"].stages:
                    quicken_mlp(stage.blocks)
    if fill:
        return clip
    clip = clip.to_empty(device=device)
    if text.attn_mask is not None:
        text.attn_mask.fill_(-torch.inf).triu_(1)
    return clip

"""Modules of open_clip's CLIP without its package, for weights that are loaded right afterwards.

Importing open_clip takes as long as importing torch, because it also imports torchvision, timm and
the client of the Hugging Face hub. The towers here hold the parameters of open_clip's default ViT
and text transformer under the same names. They have no forward pass, because `vit` and
`open_clip_text` run the blocks themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ovss.layers.linear import Linear

from .attention import Attention
from .mlp import QuickGELU

__all__ = ["BareCLIP", "can_build_bare"]

_MODEL = {
    "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale",
    "init_logit_bias", "nonscalar_logit_scale", "preprocess_cfg",
}  # fmt: skip
_TOWER = {"width", "layers", "mlp_ratio", "ls_init_value", "norm_kwargs", "pool_type"}
_VISION = _TOWER | {
    "head_width", "patch_size", "image_size", "patch_dropout", "no_ln_pre", "final_ln_after_pool",
    "output_tokens",
}  # fmt: skip
_TEXT = _TOWER | {
    "context_length", "vocab_size", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs",
    "heads", "pad_id", "eos_id", "no_causal_mask", "final_ln_after_pool", "proj_bias", "proj_type",
    "output_tokens",
}  # fmt: skip


def can_build_bare(config: dict[str, Any]) -> bool:
    """True if `BareCLIP` has every part that a model config names.

    Args:
        config: model config of an architecture that an encoder supports.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    known = config.keys() <= _MODEL and vision.keys() <= _VISION and text.keys() <= _TEXT
    return known and isinstance(vision.get("layers", 12), int)


class _LayerNorm(nn.LayerNorm):
    """Layer norm whose output has the number type of its input, under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        shape, weight, bias = self.normalized_shape, self.weight, self.bias
        return functional.layer_norm(x, shape, weight, bias, self.eps).to(x.dtype)


class _LayerScale(nn.Module):
    """Learned factor of each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Block(nn.Module):
    """Parts of a residual block: two norms, attention, MLP, and the scales of both branches."""

    def __init__(self, config: dict[str, Any], heads: int, quick_gelu: bool) -> None:
        super().__init__()
        width = config["width"]
        norm = partial(_LayerNorm, width, **(config.get("norm_kwargs") or {}))
        inner = int(width * config.get("mlp_ratio", 4.0))
        has_scale = config.get("ls_init_value") is not None
        self.ln_1 = norm()
        self.attn = Attention(width, heads)
        self.ls_1 = _LayerScale(width) if has_scale else nn.Identity()
        self.ln_2 = norm()
        layers = {
            "c_fc": Linear(width, inner),
            "gelu": QuickGELU() if quick_gelu else nn.GELU(),
            "c_proj": Linear(inner, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ls_2 = _LayerScale(width) if has_scale else nn.Identity()


class _Transformer(nn.Module):
    """Residual blocks of a tower."""

    def __init__(self, config: dict[str, Any], heads: int, quick_gelu: bool) -> None:
        super().__init__()
        self.width, self.layers = config["width"], config["layers"]
        blocks = (_Block(config, heads, quick_gelu) for _ in range(self.layers))
        self.resblocks = nn.ModuleList(blocks)

    def get_cast_dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return next(self.resblocks.parameters()).dtype


class _VisionTower(nn.Module):
    """Parts of the image tower."""

    def __init__(self, config: dict[str, Any], dim: int, quick_gelu: bool) -> None:
        super().__init__()
        config = {"width": 768, "layers": 12, **config}
        width, norm_kwargs = config["width"], config.get("norm_kwargs") or {}
        self.image_size = _pair(config.get("image_size", 224))
        self.patch_size = _pair(config.get("patch_size", 16))
        (height, width_px), (patch_height, patch_width) = self.image_size, self.patch_size
        self.grid_size = (height // patch_height, width_px // patch_width)
        self.final_ln_after_pool = config.get("final_ln_after_pool", False)
        self.pool_type, self.output_dim = config.get("pool_type", "tok"), dim
        self.attn_pool = None
        self.conv1 = nn.Conv2d(3, width, self.patch_size, self.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        cells = self.grid_size[0] * self.grid_size[1]
        self.positional_embedding = nn.Parameter(torch.empty(cells + 1, width))
        self.patch_dropout = nn.Identity()  # dense tokens need every patch
        is_bare = config.get("no_ln_pre", False)
        self.ln_pre = nn.Identity() if is_bare else _LayerNorm(width, **norm_kwargs)
        heads = width // config.get("head_width", 64)
        self.transformer = _Transformer(config, heads, quick_gelu)
        self.ln_post = _LayerNorm(width, **norm_kwargs)
        self.proj = nn.Parameter(torch.empty(width, dim))


class _TextTower(nn.Module):
    """Parts of the text tower."""

    def __init__(self, config: dict[str, Any], dim: int, quick_gelu: bool) -> None:
        super().__init__()
        config = {"width": 512, "layers": 12, **config}
        width, self.context_length = config["width"], config.get("context_length", 77)
        self.vocab_size = config.get("vocab_size", 49408)
        self.pool_type, self.eos_id = config.get("pool_type", "argmax"), config.get("eos_id", 2)
        table_VD = torch.empty(self.vocab_size, width)  # given, so that it is not filled
        self.token_embedding = nn.Embedding(self.vocab_size, width, _weight=table_VD)
        self.positional_embedding = nn.Parameter(torch.empty(self.context_length, width))
        self.transformer = _Transformer(config, config.get("heads", 8), quick_gelu)
        self.ln_final = _LayerNorm(width, **(config.get("norm_kwargs") or {}))
        self.attn_mask: Tensor | None = None
        if not config.get("no_causal_mask", False):
            mask_NN = torch.empty(self.context_length, self.context_length)
            del self.attn_mask
            self.register_buffer("attn_mask", mask_NN, persistent=False)
        self.text_projection: nn.Module | nn.Parameter | None = None
        if config.get("proj_type", "linear") != "none" and dim:
            if config.get("proj_bias", False):
                self.text_projection = nn.Linear(width, dim)
            else:
                self.text_projection = nn.Parameter(torch.empty(width, dim))


class BareCLIP(nn.Module):
    """CLIP whose weights are loaded right afterwards, with the names of open_clip's state dict.

    Args:
        config: model config for which `can_build_bare` is true.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        dim, quick_gelu = config["embed_dim"], config.get("quick_gelu", False)
        self.visual = _VisionTower(config["vision_cfg"], dim, quick_gelu)
        text = _TextTower(config["text_cfg"], dim, quick_gelu)
        if config.get("custom_text", False):
            self.text = text
        else:  # CLIP itself holds the parts of its text tower
            self.transformer, self.token_embedding = text.transformer, text.token_embedding
            self.positional_embedding, self.ln_final = text.positional_embedding, text.ln_final
            self.text_projection = text.text_projection
            self.context_length, self.vocab_size = text.context_length, text.vocab_size
            self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        shape = [1] if config.get("nonscalar_logit_scale", False) else []
        self.logit_scale = nn.Parameter(torch.empty(shape))
        has_bias = config.get("init_logit_bias") is not None
        self.logit_bias = nn.Parameter(torch.empty(shape)) if has_bias else None


def _pair(side: int | tuple[int, int]) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else (side[0], side[1])

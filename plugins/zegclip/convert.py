"""Converts official ZegCLIP checkpoints (CVPR 2023 code, ViT-B/16, any number of prompts)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename, split_projections

_IMAGE, _TEXT = "backbone", "text_encoder"
_HEAD = "decode_head"
_LAYERS = f"{_HEAD}.decoder_1.layers"
_BLOCKS, _DEPTH = 12, 3
_LEAVES = ("weight", "bias")
_BLOCK = [
    "attn.in_proj_weight",
    "attn.in_proj_bias",
    *(
        f"{part}.{leaf}"
        for part in ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for leaf in _LEAVES
    ),
]
_UPDATE = {
    "multihead_attn.q": "query",
    "multihead_attn.k": "key",
    "multihead_attn.v": "value",
    "multihead_attn.proj": "out",
    "norm2": "norm1",
    "norm3": "norm2",
    "linear1": "enlarge",
    "linear2": "reduce",
}
_LOGITS = {"multihead_attn.q": "query", "multihead_attn.k": "key"}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of CLIP are split into query, key and value. Tensors that the authors' code
    never uses are dropped.

    Raises:
        CheckpointError: the tensors are not those of ZegCLIP.
    """
    name = f"{_IMAGE}.deep_prompt_embeddings"
    if name not in tensors or tensors[name].ndim != 3 or tensors[name].shape[0] != _BLOCKS - 1:
        found = f"shape {tuple(tensors[name].shape)}" if name in tensors else "no such tensor"
        raise CheckpointError(f"expected {name} with {_BLOCKS - 1} rows, found {found}")
    conversion = rename(tensors, official_names(), _drops())
    split_projections(conversion)
    return conversion


def official_names() -> dict[str, str]:
    """Published name -> our name, before fused projections are split."""
    return dict([*_clip_names(), *_prompt_names(), *_head_names()])


def _clip_names() -> Iterator[tuple[str, str]]:
    clip = "encoder.clip"
    for name in ("class_embedding", "positional_embedding", "proj", "conv1.weight"):
        yield f"{_IMAGE}.{name}", f"{clip}.visual.{name}"
    for name in ("positional_embedding", "text_projection", "token_embedding.weight"):
        yield f"{_TEXT}.{name}", f"{clip}.{name}"
    for leaf in _LEAVES:
        for part in ("ln_pre", "ln_post"):
            yield f"{_IMAGE}.{part}.{leaf}", f"{clip}.visual.{part}.{leaf}"
        yield f"{_TEXT}.ln_final.{leaf}", f"{clip}.ln_final.{leaf}"
    for index in range(_BLOCKS):
        for part in _BLOCK:
            name = f"transformer.resblocks.{index}.{part}"
            yield f"{_IMAGE}.{name}", f"{clip}.visual.{name}"
            yield f"{_TEXT}.{name}", f"{clip}.{name}"


def _prompt_names() -> Iterator[tuple[str, str]]:
    prompts = "encoder.prompts"
    yield f"{_IMAGE}.prompt_embeddings", f"{prompts}.first"
    yield f"{_IMAGE}.deep_prompt_embeddings", f"{prompts}.deep"
    for leaf in _LEAVES:
        yield f"{_IMAGE}.prompt_proj.{leaf}", f"{prompts}.project.{leaf}"
        yield f"{_IMAGE}.prompt_norm.{leaf}", f"{prompts}.norm.{leaf}"


def _head_names() -> Iterator[tuple[str, str]]:
    modules = {f"{_HEAD}.q_proj": "describe"}
    for layer in range(_DEPTH - 1):
        for published, ours in _UPDATE.items():
            modules[f"{_LAYERS}.{layer}.{published}"] = f"updates.{layer}.{ours}"
    for published, ours in _LOGITS.items():
        modules[f"{_LAYERS}.{_DEPTH - 1}.{published}"] = f"masks.{ours}"
    for published, ours in modules.items():
        for leaf in _LEAVES:
            yield f"{published}.{leaf}", f"head.{ours}.{leaf}"


def _drops() -> dict[str, str]:
    """Published name -> reason for dropping it."""
    never = "the authors' code stores it, but never calls it"
    own = "only the attention logits of the last layer are used"
    drops = {
        f"{_HEAD}.loss_decode.criterion.empty_weight": "a buffer that the authors' loss never uses",
        f"{_TEXT}.logit_scale": "masks are not scaled by it",
    }
    for layer in range(_DEPTH):
        parts = [f"{part}.{leaf}" for part in ("self_attn.out_proj", "norm1") for leaf in _LEAVES]
        parts += ["self_attn.in_proj_weight", "self_attn.in_proj_bias"]
        drops |= {f"{_LAYERS}.{layer}.{part}": never for part in parts}
    for published in _UPDATE.keys() - _LOGITS.keys():
        drops |= {f"{_LAYERS}.{_DEPTH - 1}.{published}.{leaf}": own for leaf in _LEAVES}
    return drops

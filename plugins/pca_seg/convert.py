"""Converts official PCA-Seg checkpoints, on EVA-02 CLIP (DeCLIP) or on OpenAI's CLIP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from ovss_plugins.cat_seg.convert import (
    AGGREGATOR,
    MASK_REASON,
    class_names,
    clip_names,
    flatten_padding,
    leaf_names,
    spatial_names,
    vision_depth,
    volume_names,
)
from torch import Tensor

from ovss.models.clip_names import BLOCK
from ovss.models.conversion import Conversion, published_width, rename, split_projections

from .eva_names import ROPE_REASON, is_rotary, open_clip_name

_CLIP = "sem_seg_head.predictor.clip_model"
_LAYERS, _EXPERTS = 2, 4
_HALVES = ("first", "second")
_FUSION = {
    "spatial_proj": "spatial",
    "class_proj": "classes",
    "gate_net.0": "gate.0",
    "gate_net.2": "gate.2",
    "residual": "residual",
}
_EXPERT = {"0": "expand", "1": "norm", "3": "mix"}
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_EVA_BLOCKS = {768: 12, 1024: 24}
"""Width of EVA's image tower -> number of its blocks. The text tower has 12 blocks in both."""
_EVA_BLOCK = [
    "attn.q_bias",
    "attn.v_bias",
    *(f"attn.{letter}_proj.weight" for letter in "qkv"),
    *(
        f"{part}.{leaf}"
        for part in ("norm1", "norm2", "attn.inner_attn_ln", "attn.proj", "mlp.w1", "mlp.w2",
                     "mlp.w3", "mlp.ffn_ln")
        for leaf in ("weight", "bias")
    ),
]  # fmt: skip


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    The experts of a fusion are joined, convolutions of 1 x 1 become matrices, and fused projections
    of the text tower are split.

    Raises:
        CheckpointError: the tensors are not those of PCA-Seg on one of its image towers.
    """
    drops = {
        f"{AGGREGATOR}.layers.{layer}.swin_block_{half}.block_2.attn_mask": MASK_REASON
        for layer in range(_LAYERS)
        for half in _HALVES
    }
    drops |= {name: ROPE_REASON for name in tensors if is_rotary(name)}
    is_eva = f"{_CLIP}.visual.cls_token" in tensors
    names = eva_clip_names(_eva_depth(tensors)) if is_eva else clip_names(vision_depth(tensors))
    conversion = rename(tensors, dict(names) | aggregator_names(), drops)
    finish(conversion)
    split_projections(conversion)
    return conversion


def finish(conversion: Conversion) -> None:
    """Gives converted tensors of the aggregator their shapes, in place."""
    flatten_padding(conversion)
    for name, value in conversion.tensors.items():
        if name.startswith("decoder.layers") and value.shape[2:] == (1, 1):
            conversion.tensors[name] = value.flatten(1)
    for layer in range(2 * _LAYERS):
        for part in _EXPERT.values():
            _join_experts(conversion, f"decoder.layers.{layer}.fusion.{part}")


def aggregator_names() -> dict[str, str]:
    """Published name -> our name for all tensors outside CLIP, before experts are joined."""
    return dict(_aggregator_pairs())


def _aggregator_pairs() -> Iterator[tuple[str, str]]:
    yield from volume_names()
    for layer in range(_LAYERS):
        for half, word in enumerate(_HALVES):
            root, ours = f"{AGGREGATOR}.layers.{layer}", f"decoder.layers.{2 * layer + half}"
            yield from spatial_names(f"{root}.swin_block_{word}", f"{ours}.spatial")
            yield from class_names(f"{root}.attention_{word}", f"{ours}.classes")
            yield from _fusion_names(f"{root}.fusion_by_channel_{word}", f"{ours}.fusion")


def _fusion_names(published: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{published}.res_scale", f"{ours}.residual_scale"
    for name, part in _FUSION.items():
        yield from leaf_names(f"{published}.{name}", f"{ours}.{part}")
    for expert in range(_EXPERTS):
        for name, part in _EXPERT.items():
            source = f"{published}.expert_layers.{expert}.{name}"
            yield from leaf_names(source, f"{ours}.{part}.{expert}")
            if part == "norm":
                for leaf in _STATISTICS:
                    yield f"{source}.{leaf}", f"{ours}.norm.{expert}.{leaf}"


def _join_experts(conversion: Conversion, module: str) -> None:
    """Joins the tensors of all experts along their first axis."""
    start = f"{module}.0."
    for leaf in [n.removeprefix(start) for n in conversion.tensors if n.startswith(start)]:
        names = [f"{module}.{expert}.{leaf}" for expert in range(_EXPERTS)]
        parts = [conversion.tensors.pop(name) for name in names]
        published = [conversion.source.pop(name) for name in names]
        joined = parts[0] if leaf == "num_batches_tracked" else torch.cat(parts)
        conversion.tensors[f"{module}.{leaf}"] = joined
        conversion.source[f"{module}.{leaf}"] = " + ".join(published)


def _eva_depth(tensors: Mapping[str, Tensor]) -> int:
    width = published_width(tensors, f"{_CLIP}.visual.norm.weight", _EVA_BLOCKS, "channels")
    return _EVA_BLOCKS[width]


def eva_clip_names(blocks: int) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of an EVA-02 CLIP, before projections are split."""
    names = ["logit_scale", "visual.cls_token", "visual.pos_embed"]
    for part in ("visual.patch_embed.proj", "visual.norm", "visual.head", "text.ln_final"):
        names += [f"{part}.weight", f"{part}.bias"]
    names += ["text.positional_embedding", "text.text_projection", "text.token_embedding.weight"]
    names += [f"visual.blocks.{block}.{part}" for block in range(blocks) for part in _EVA_BLOCK]
    names += [f"text.transformer.resblocks.{i}.{part}" for i in range(12) for part in BLOCK]
    for name in names:
        yield f"{_CLIP}.{name}", f"encoder.clip.{open_clip_name(name)}"

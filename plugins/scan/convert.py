"""Converts official SCAN checkpoints (CVPR 2024 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.clip_names import image_tower_names, text_tower_names
from ovss.models.conversion import (
    Conversion,
    check_logit_scale,
    published_width,
    rename,
    split_projections,
)
from ovss.models.mask2former_names import pixel_decoder_names, query_decoder_names
from ovss.models.swin_names import swin_names, swin_places

_CLIP, _CONTEXT, _HEAD = "clip_adapter.clip_model", "clip_adapter.original_clip", "sem_seg_head"
_BLOCKS = {768: 12, 1024: 24}
"""Width of the image tower -> number of its blocks. The text tower has 12 blocks in both."""
_LAYERS, _QUERY_LAYERS = 5, 10

_LEAVES = ("weight", "bias")
_DROPS = {
    "criterion.empty_weight": "the weights of the loss are options of the criterion",
    "clip_adapter.pixel_mean": "the statistics of the pixels belong to the architecture",
    "clip_adapter.pixel_std": "the statistics of the pixels belong to the architecture",
    f"{_CLIP}.attn_mask": "the causal mask follows from the architecture",
    **swin_places("backbone"),
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of CLIP are split into query, key and value, and convolutions over
    frequencies become matrices.

    Raises:
        CheckpointError: the tensors are not those of SCAN in one of its two sizes, or CLIP's factor
            from cosines to logits is not 100.
    """
    width = published_width(tensors, f"{_CONTEXT}.class_embedding", _BLOCKS)
    check_logit_scale(tensors, f"{_CLIP}.logit_scale")
    conversion = rename(tensors, official_table(_BLOCKS[width]), _DROPS)
    split_projections(conversion)
    for ours, value in conversion.tensors.items():
        if ours == "head.void" or ours.startswith("encoder.context.filter"):
            conversion.tensors[ours] = value.flatten(1) if value.ndim == 4 else value.flatten()
    return conversion


def official_table(blocks: int) -> dict[str, str]:
    """Published name -> our name, before fused projections are split.

    Args:
        blocks: number of blocks of the image tower.
    """
    swin = {f"backbone.{name}": f"encoder.backbone.{name}" for name in swin_names()}
    return dict([*_clip_names(blocks), *swin.items(), *_head_names()])


def _clip_names(blocks: int) -> Iterator[tuple[str, str]]:
    for name in image_tower_names(blocks):
        yield f"{_CONTEXT}.{name}", f"encoder.clip.visual.{name}"
        yield f"{_CLIP}.visual.{name}", f"encoder.regions.visual.{name}"
    yield from ((f"{_CLIP}.{name}", f"encoder.clip.{name}") for name in text_tower_names())
    yield "clip_adapter.non_object_embedding", "head.void"


def _head_names() -> Iterator[tuple[str, str]]:
    predictor, context = f"{_HEAD}.predictor", "encoder.context"
    yield from pixel_decoder_names(f"{_HEAD}.pixel_decoder", "encoder.pixels")
    yield from query_decoder_names(predictor, "encoder.queries", _QUERY_LAYERS)
    modules = {"LFM.conv1": "filter.expand", "LFM.conv2": "filter.contract"}
    modules |= {f"oriclip_mlp.fc{i + 1}": f"project.{i}" for i in range(2)}
    for index in range(_LAYERS):
        fuse, refine = (
            f"fusion_decoder.multiattn.{index}",
            f"lightweight_transformer.layers.{index}",
        )
        modules[f"{fuse}.out_proj"] = f"fuse.{index}.out"
        if index + 1 < _LAYERS:
            modules[f"fusion_decoder.ln.{index}"] = f"norms.{index}"
        for part in ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"):
            modules[f"{refine}.{part}"] = f"refine.{index}.{part}"
        for leaf in _LEAVES:
            yield f"{fuse}.in_proj_{leaf}", f"{context}.fuse.{index}.inputs.{leaf}"
            own = f"self_attn.in_proj_{leaf}"
            yield f"{refine}.{own}", f"{context}.refine.{index}.{own}"
    modules = {theirs: f"{context}.{ours}" for theirs, ours in modules.items()}
    for index in range(2):
        embedding = f"encoder.queries.class_embedding.mlp.{2 * index}"
        modules[f"{predictor}.class_embed.layers.{index}"] = embedding
    for theirs, ours in modules.items():
        yield from ((f"{theirs}.{leaf}", f"{ours}.{leaf}") for leaf in _LEAVES)
    yield "learnable_weight", f"{context}.weight"

"""Converts official SCAN checkpoints (CVPR 2024 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, check_logit_scale, rename, split_projections
from ovss.models.mask2former_names import pixel_decoder_names, query_decoder_names

_CLIP, _CONTEXT, _HEAD = "clip_adapter.clip_model", "clip_adapter.original_clip", "sem_seg_head"
_BLOCKS = {768: 12, 1024: 24}
"""Width of the image tower -> number of its blocks. The text tower has 12 blocks in both."""
_TEXT_BLOCKS, _LAYERS, _QUERY_LAYERS = 12, 5, 10
_DEPTHS = (2, 2, 18, 2)

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
_SWIN_BLOCK = [
    "attn.relative_position_bias_table",
    *(
        f"{part}.{leaf}"
        for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        for leaf in _LEAVES
    ),
]
_DROPS = {
    "criterion.empty_weight": "the weights of the loss are options of the criterion",
    "clip_adapter.pixel_mean": "the statistics of the pixels belong to the architecture",
    "clip_adapter.pixel_std": "the statistics of the pixels belong to the architecture",
    f"{_CLIP}.attn_mask": "the causal mask follows from the architecture",
    **{
        f"backbone.layers.{stage}.blocks.{block}.attn.relative_position_index": (
            "relative positions follow from the size of a window"
        )
        for stage, depth in enumerate(_DEPTHS)
        for block in range(depth)
    },
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of CLIP are split into query, key and value, and convolutions over
    frequencies become matrices.

    Raises:
        CheckpointError: the tensors are not those of SCAN in one of its two sizes, or CLIP's factor
            from cosines to logits is not 100.
    """
    name = f"{_CONTEXT}.class_embedding"
    width = tensors[name].shape[0] if name in tensors and tensors[name].ndim == 1 else None
    if width not in _BLOCKS:
        known = " or ".join(map(str, _BLOCKS))
        raise CheckpointError(
            f"expected {name} with {known} values, found "
            f"{'no such tensor' if width is None else f'{width} values'}"
        )
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
    return dict([*_clip_names(blocks), *_swin_names(), *_head_names()])


def _clip_names(blocks: int) -> Iterator[tuple[str, str]]:
    yield from _visual_names(_CONTEXT, "encoder.clip.visual", blocks)
    yield from _visual_names(f"{_CLIP}.visual", "encoder.regions.visual", blocks)
    names = ["positional_embedding", "text_projection", "logit_scale", "token_embedding.weight"]
    names += [f"ln_final.{leaf}" for leaf in _LEAVES]
    names += [f"transformer.resblocks.{i}.{part}" for i in range(_TEXT_BLOCKS) for part in _BLOCK]
    yield from ((f"{_CLIP}.{name}", f"encoder.clip.{name}") for name in names)
    yield "clip_adapter.non_object_embedding", "head.void"


def _visual_names(published: str, ours: str, blocks: int) -> Iterator[tuple[str, str]]:
    names = ["class_embedding", "positional_embedding", "proj", "conv1.weight"]
    names += [f"{norm}.{leaf}" for norm in ("ln_pre", "ln_post") for leaf in _LEAVES]
    names += [f"transformer.resblocks.{i}.{part}" for i in range(blocks) for part in _BLOCK]
    yield from ((f"{published}.{name}", f"{ours}.{name}") for name in names)


def _swin_names() -> Iterator[tuple[str, str]]:
    names = [f"patch_embed.{part}.{leaf}" for part in ("proj", "norm") for leaf in _LEAVES]
    for stage, depth in enumerate(_DEPTHS):
        names += [f"norm{stage}.{leaf}" for leaf in _LEAVES]
        names += [f"layers.{stage}.blocks.{i}.{part}" for i in range(depth) for part in _SWIN_BLOCK]
        if stage + 1 < len(_DEPTHS):
            merge = f"layers.{stage}.downsample"
            names += [f"{merge}.norm.weight", f"{merge}.norm.bias", f"{merge}.reduction.weight"]
    yield from ((f"backbone.{name}", f"encoder.backbone.{name}") for name in names)


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

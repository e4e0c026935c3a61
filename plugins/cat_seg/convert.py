"""Converts official CAT-Seg checkpoints (CVPR 2024 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.clip_names import SPLIT_BLOCK, image_tower_names, text_tower_names
from ovss.models.conversion import Conversion, published_width, rename

_PREDICTOR = "sem_seg_head.predictor"
_VISION_BLOCKS = {768: 12, 1024: 24}
"""Width of the vision tower -> number of its blocks. The text tower has 12 blocks in both."""
_LAYERS = 2

_LEAVES = ("weight", "bias")
_SWIN_BLOCK = {
    "norm1": "norm1",
    "attn.q": "attention.query",
    "attn.k": "attention.key",
    "attn.v": "attention.value",
    "attn.proj": "project",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
_CLASS_BLOCK = {
    "attention.q": "attention.query",
    "attention.k": "attention.key",
    "attention.v": "attention.value",
    "MLP.0": "mlp.0",
    "MLP.2": "mlp.2",
    "norm1": "norm1",
    "norm2": "norm2",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Raises:
        CheckpointError: the tensors are not those of CAT-Seg (2024 code) in one of its two sizes.
    """
    width = published_width(tensors, f"{_PREDICTOR}.clip_model.visual.proj", _VISION_BLOCKS, "rows")
    table = dict(_clip_names(_VISION_BLOCKS[width])) | aggregator_table()
    drops = {
        f"{_PREDICTOR}.transformer.layers.{layer}.swin_block.block_2.attn_mask": (
            "the mask of shifted windows is computed for each grid"
        )
        for layer in range(_LAYERS)
    }
    conversion = rename(tensors, table, drops)
    for name, value in conversion.tensors.items():
        if name.endswith(("padding_token", "padding_guide")):
            conversion.tensors[name] = value.flatten()
    return conversion


def _clip_names(vision_blocks: int) -> Iterator[tuple[str, str]]:
    names = text_tower_names(block=SPLIT_BLOCK)
    names += [f"visual.{name}" for name in image_tower_names(vision_blocks, SPLIT_BLOCK)]
    for name in names:
        yield f"{_PREDICTOR}.clip_model.{name}", f"encoder.clip.{name}"


def aggregator_table() -> dict[str, str]:
    """Published name -> our name, for all tensors outside CLIP."""
    return dict(_aggregator_names())


def _aggregator_names() -> Iterator[tuple[str, str]]:
    root = f"{_PREDICTOR}.transformer"
    modules = {
        f"{root}.conv1": "embed",
        f"{root}.guidance_projection.0": "appearance",
        f"{root}.text_guidance_projection.0": "text",
        f"{root}.head": "head",
    }
    for index in range(2):
        modules[f"upsample{index + 1}"] = f"guides.{index}.enlarge"
        modules[f"{root}.decoder_guidance_projection.{index}.0"] = f"guides.{index}.narrow"
        stage, ours = f"{root}.decoder{index + 1}", f"stages.{index}"
        modules[f"{stage}.up"] = f"{ours}.enlarge"
        modules[f"{stage}.conv.double_conv.1"] = f"{ours}.norm1"
        modules[f"{stage}.conv.double_conv.4"] = f"{ours}.norm2"
        yield f"{stage}.conv.double_conv.0.weight", f"decoder.{ours}.conv1.weight"
        yield f"{stage}.conv.double_conv.3.weight", f"decoder.{ours}.conv2.weight"
    for index in range(_LAYERS):
        layer, ours = f"{root}.layers.{index}", f"layers.{index}"
        modules[f"{layer}.swin_block.guidance_norm"] = f"{ours}.spatial.guide_norm"
        for block in range(2):
            for name, part in _SWIN_BLOCK.items():
                published = f"{layer}.swin_block.block_{block + 1}.{name}"
                modules[published] = f"{ours}.spatial.blocks.{block}.{part}"
        for name, part in _CLASS_BLOCK.items():
            modules[f"{layer}.attention.{name}"] = f"{ours}.classes.{part}"
        yield f"{layer}.attention.padding_tokens", f"decoder.{ours}.classes.padding_token"
        yield f"{layer}.attention.padding_guidance", f"decoder.{ours}.classes.padding_guide"
    for name, part in modules.items():
        for leaf in _LEAVES:
            yield f"{name}.{leaf}", f"decoder.{part}.{leaf}"

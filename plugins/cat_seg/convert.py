"""Converts official CAT-Seg checkpoints (CVPR 2024 code, ViT-B/16 and ViT-L/14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.clip_names import SPLIT_BLOCK, image_tower_names, text_tower_names
from ovss.models.conversion import Conversion, published_width, rename

_PREDICTOR = "sem_seg_head.predictor"
AGGREGATOR = f"{_PREDICTOR}.transformer"
"""Prefix of the published names of the aggregator."""
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

MASK_REASON = "the mask of shifted windows is computed for each grid"


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Raises:
        CheckpointError: the tensors are not those of CAT-Seg (2024 code) in one of its two sizes.
    """
    table = dict(clip_names(vision_depth(tensors))) | aggregator_table()
    drops = {
        f"{AGGREGATOR}.layers.{layer}.swin_block.block_2.attn_mask": MASK_REASON
        for layer in range(_LAYERS)
    }
    conversion = rename(tensors, table, drops)
    flatten_padding(conversion)
    return conversion


def vision_depth(tensors: Mapping[str, Tensor]) -> int:
    """Number of blocks of the vision tower."""
    name = f"{_PREDICTOR}.clip_model.visual.proj"
    return _VISION_BLOCKS[published_width(tensors, name, _VISION_BLOCKS, "rows")]


def flatten_padding(conversion: Conversion) -> None:
    """Removes the axes of length 1 from the learned padding tokens, in place."""
    for name, value in conversion.tensors.items():
        if name.endswith(("padding_token", "padding_guide")):
            conversion.tensors[name] = value.flatten()


def clip_names(vision_blocks: int) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of a CLIP of OpenAI."""
    names = text_tower_names(block=SPLIT_BLOCK)
    names += [f"visual.{name}" for name in image_tower_names(vision_blocks, SPLIT_BLOCK)]
    for name in names:
        yield f"{_PREDICTOR}.clip_model.{name}", f"encoder.clip.{name}"


def aggregator_table() -> dict[str, str]:
    """Published name -> our name, for all tensors outside CLIP."""
    return dict(_aggregator_names())


def _aggregator_names() -> Iterator[tuple[str, str]]:
    yield from volume_names()
    for index in range(_LAYERS):
        layer, ours = f"{AGGREGATOR}.layers.{index}", f"decoder.layers.{index}"
        yield from spatial_names(f"{layer}.swin_block", f"{ours}.spatial")
        yield from class_names(f"{layer}.attention", f"{ours}.classes")


def volume_names() -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of the embedding, the guidance and the upsampling."""
    modules = {
        f"{AGGREGATOR}.conv1": "embed",
        f"{AGGREGATOR}.guidance_projection.0": "appearance",
        f"{AGGREGATOR}.text_guidance_projection.0": "text",
        f"{AGGREGATOR}.head": "head",
    }
    for index in range(2):
        modules[f"upsample{index + 1}"] = f"guides.{index}.enlarge"
        guide = f"{AGGREGATOR}.decoder_guidance_projection.{index}.0"
        modules[guide] = f"guides.{index}.narrow"
        stage, ours = f"{AGGREGATOR}.decoder{index + 1}", f"stages.{index}"
        modules[f"{stage}.up"] = f"{ours}.enlarge"
        modules[f"{stage}.conv.double_conv.1"] = f"{ours}.norm1"
        modules[f"{stage}.conv.double_conv.4"] = f"{ours}.norm2"
        yield f"{stage}.conv.double_conv.0.weight", f"decoder.{ours}.conv1.weight"
        yield f"{stage}.conv.double_conv.3.weight", f"decoder.{ours}.conv2.weight"
    for name, part in modules.items():
        yield from leaf_names(name, f"decoder.{part}")


def spatial_names(published: str, ours: str) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of a `SpatialAggregation`."""
    yield from leaf_names(f"{published}.guidance_norm", f"{ours}.guide_norm")
    for block in range(2):
        for name, part in _SWIN_BLOCK.items():
            yield from leaf_names(
                f"{published}.block_{block + 1}.{name}", f"{ours}.blocks.{block}.{part}"
            )


def class_names(published: str, ours: str) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of a `ClassAggregation`."""
    for name, part in _CLASS_BLOCK.items():
        yield from leaf_names(f"{published}.{name}", f"{ours}.{part}")
    yield f"{published}.padding_tokens", f"{ours}.padding_token"
    yield f"{published}.padding_guidance", f"{ours}.padding_guide"


def leaf_names(published: str, ours: str) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name of a module's weight and bias."""
    for leaf in _LEAVES:
        yield f"{published}.{leaf}", f"{ours}.{leaf}"

"""Converts official LSeg checkpoints (ICLR 2022 code): ViT-L/16, ViT-B/32 and ResNet-101."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename, split_projections

_LEAVES = ("weight", "bias")
_BATCH_NORM = (*_LEAVES, "running_mean", "running_var", "num_batches_tracked")
_LIGHTNING = "net."
_SCRATCH, _VISION, _TEXT = "scratch", "pretrained", "clip_pretrained"
_BLOCK = [
    f"{part}.{leaf}"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for leaf in _LEAVES
]
_TEXT_BLOCK = [
    "attn.in_proj_weight",
    "attn.in_proj_bias",
    *(
        f"{part}.{leaf}"
        for part in ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for leaf in _LEAVES
    ),
]
_RESNET_BLOCKS = (3, 4, 23, 3)
_UNUSED = {
    re.compile(r"clip_pretrained\.visual\."): "the image tower of CLIP, which LSeg never runs",
    re.compile(r"clip_pretrained\.logit_scale$"): "the factor of LSeg's logits is a constant",
    re.compile(r"pretrained\.model\.(norm|head)\."): "levels are read before norm and classifier",
    re.compile(r"scratch\.refinenet4\.resConfUnit1\."): "the coarsest level is added to nothing",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Fused projections of the text tower are split into query, key and value. Parts that LSeg never
    uses are dropped.

    Raises:
        CheckpointError: the tensors are not those of LSeg.
    """
    stem = _LIGHTNING if any(name.startswith(_LIGHTNING) for name in tensors) else ""
    own = {name.removeprefix(stem): value for name, value in tensors.items()}
    if f"{_SCRATCH}.head1.weight" not in own:
        raise CheckpointError(f"expected a tensor {stem}{_SCRATCH}.head1.weight, found none")
    table = official_names(own)
    drops = {
        f"{stem}{name}": reason
        for name in own
        for pattern, reason in _UNUSED.items()
        if pattern.match(name)
    }
    names = {f"{stem}{name}": ours for name, ours in table.items()}
    conversion = rename(tensors, names, drops)
    split_projections(conversion)
    return conversion


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Published name -> our name, before fused projections are split.

    Args:
        tensors: published tensors without the prefix of Lightning; their names tell the backbone,
            its depth and the spatial block.
    """
    vision = _resnet_names() if f"{_VISION}.layer1.0.weight" in tensors else _vit_names(tensors)
    return dict([*_text_names(tensors), *vision, *_decoder_names(tensors)])


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Number of numbered modules under a prefix."""
    return len({n[len(prefix) :].partition(".")[0] for n in tensors if n.startswith(prefix)})


def _text_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    clip = "encoder.clip"
    leaves = ("positional_embedding", "text_projection", "token_embedding.weight")
    for name in (*leaves, *(f"ln_final.{leaf}" for leaf in _LEAVES)):
        yield f"{_TEXT}.{name}", f"{clip}.{name}"
    for index in range(_count(tensors, f"{_TEXT}.transformer.resblocks.")):
        for part in _TEXT_BLOCK:
            name = f"transformer.resblocks.{index}.{part}"
            yield f"{_TEXT}.{name}", f"{clip}.{name}"


def _vit_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    model, trunk = f"{_VISION}.model", "encoder.vision.backbone.trunk"
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        yield f"{model}.{name}", f"{trunk}.{name}"
    for index in range(_count(tensors, f"{model}.blocks.")):
        for part in _BLOCK:
            yield f"{model}.blocks.{index}.{part}", f"{trunk}.blocks.{index}.{part}"
    for level in range(4):
        published, ours = f"{_VISION}.act_postprocess{level + 1}", f"encoder.vision.levels.{level}"
        parts = {"0.project.0": "readout", "3": "project"}
        if f"{published}.4.weight" in tensors:
            parts["4"] = "resample"
        for name, part in parts.items():
            for leaf in _LEAVES:
                yield f"{published}.{name}.{leaf}", f"{ours}.{part}.{leaf}"


def _resnet_names() -> Iterator[tuple[str, str]]:
    backbone = "encoder.vision.backbone"
    yield f"{_VISION}.layer1.0.weight", f"{backbone}.stem.0.weight"
    for leaf in _BATCH_NORM:
        yield f"{_VISION}.layer1.1.{leaf}", f"{backbone}.stem.1.{leaf}"
    for stage, blocks in enumerate(_RESNET_BLOCKS):
        for block in range(blocks):
            inside = f"4.{block}" if stage == 0 else f"{block}"
            published = f"{_VISION}.layer{stage + 1}.{inside}"
            ours = f"{backbone}.stages.{stage}.{block}"
            modules = {f"conv{i}": f"bn{i}" for i in (1, 2, 3)}
            if block == 0:
                modules["downsample.0"] = "downsample.1"
            for convolution, norm in modules.items():
                yield f"{published}.{convolution}.weight", f"{ours}.{convolution}.weight"
                for leaf in _BATCH_NORM:
                    yield f"{published}.{norm}.{leaf}", f"{ours}.{norm}.{leaf}"


def _decoder_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    fusion = "encoder.fusion"
    for level in range(4):
        yield f"{_SCRATCH}.layer{level + 1}_rn.weight", f"{fusion}.narrow.{level}.weight"
        published, ours = f"{_SCRATCH}.refinenet{level + 1}", f"{fusion}.refine.{level}"
        units = {"resConfUnit2": "joint"} | ({"resConfUnit1": "level"} if level < 3 else {})
        for unit, part in units.items():
            for index in (1, 2):
                name = f"conv{index}.weight"
                yield f"{published}.{unit}.{name}", f"{ours}.{part}.{name}"
                for leaf in _BATCH_NORM:
                    name = f"bn{index}.{leaf}"
                    yield f"{published}.{unit}.{name}", f"{ours}.{part}.{name}"
        for leaf in _LEAVES:
            yield f"{published}.out_conv.{leaf}", f"{ours}.out.{leaf}"
    for leaf in _LEAVES:
        yield f"{_SCRATCH}.head1.{leaf}", f"encoder.project.{leaf}"
        block = f"{_SCRATCH}.head_block.depthwise.depthwise.{leaf}"
        if block in tensors:
            yield block, f"decoder.conv.{leaf}"

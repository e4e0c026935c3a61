"""Converts checkpoints of SPNet's code (CVPR 2019), whose DeepLab v2 sees BGR images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename

_PARALLEL, _NET = "module.", "scale."
_BLOCKS = (3, 4, 23, 3)
_NORM = ("weight", "bias", "running_mean", "running_var")
_UNITS = {"reduce": 1, "conv3x3": 2, "increase": 3}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict, and turns its first convolution from BGR to RGB.

    Raises:
        CheckpointError: the tensors are not those of SPNet.
    """
    stem = _PARALLEL if any(name.startswith(_PARALLEL) for name in tensors) else ""
    first = f"{stem}{_NET}layer1.conv1.conv.weight"
    if first not in tensors:
        raise CheckpointError(f"expected a tensor {first}, found none")
    table = {f"{stem}{_NET}{name}": ours for name, ours in official_names()}
    drops = {
        name: "batch norms are frozen" for name in tensors if name.endswith(".num_batches_tracked")
    }
    conversion = rename(tensors, table, drops)
    ours = table[first]
    conversion.tensors[ours] = conversion.tensors[ours].flip(1)
    return conversion


def official_names() -> Iterator[tuple[str, str]]:
    """Published name without its prefixes -> our name."""
    backbone = "encoder.backbone"
    yield from _unit("layer1.conv1", f"{backbone}.stem.0", f"{backbone}.stem.1")
    for stage, blocks in enumerate(_BLOCKS):
        for block in range(blocks):
            published = f"layer{stage + 2}.block{block + 1}"
            ours = f"{backbone}.stages.{stage}.{block}"
            for unit, index in _UNITS.items():
                yield from _unit(f"{published}.{unit}", f"{ours}.conv{index}", f"{ours}.bn{index}")
            if block == 0:
                parts = (f"{ours}.downsample.{i}" for i in (0, 1))
                yield from _unit(f"{published}.proj", *parts)
    for index in range(4):
        for leaf in ("weight", "bias"):
            yield f"aspp.stages.c{index}.{leaf}", f"encoder.project.{index}.{leaf}"


def _unit(published: str, convolution: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{published}.conv.weight", f"{convolution}.weight"
    for leaf in _NORM:
        yield f"{published}.bn.{leaf}", f"{norm}.{leaf}"

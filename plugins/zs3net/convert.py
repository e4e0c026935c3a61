"""Converts checkpoints of ZS3Net's code (NeurIPS 2019), DeepLab v3+ with ResNet-101."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename

_BLOCKS = (3, 4, 23, 3)
_NORM = ("weight", "bias", "running_mean", "running_var")
_CLASSIFIER = "decoder.pred_conv"


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict; the classifier's convolution of 1 x 1 becomes a matrix.

    Raises:
        CheckpointError: the tensors are not those of ZS3Net.
    """
    if f"{_CLASSIFIER}.weight" not in tensors:
        raise CheckpointError(f"expected a tensor {_CLASSIFIER}.weight, found none")
    drops = {
        name: "batch norms are frozen" for name in tensors if name.endswith(".num_batches_tracked")
    }
    conversion = rename(tensors, dict(official_names()), drops)
    ours = "encoder.classifier.weight"
    conversion.tensors[ours] = conversion.tensors[ours].flatten(1)
    return conversion


def official_names() -> Iterator[tuple[str, str]]:
    """Published name -> our name."""
    network = "encoder.network"
    for convolution, norm, ours in _units():
        yield f"{convolution}.weight", f"{network}.{ours[0]}.weight"
        for leaf in _NORM:
            yield f"{norm}.{leaf}", f"{network}.{ours[1]}.{leaf}"
    for leaf in ("weight", "bias"):
        yield f"{_CLASSIFIER}.{leaf}", f"encoder.classifier.{leaf}"


def _units() -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Published convolution, published norm, and our names of both."""
    yield "backbone.conv1", "backbone.bn1", ("backbone.stem.0", "backbone.stem.1")
    for stage, blocks in enumerate(_BLOCKS):
        for block in range(blocks):
            published = f"backbone.layer{stage + 1}.{block}"
            ours = f"backbone.stages.{stage}.{block}"
            for i in (1, 2, 3):
                yield f"{published}.conv{i}", f"{published}.bn{i}", (f"{ours}.conv{i}",
                                                                     f"{ours}.bn{i}")  # fmt: skip
            if block == 0:
                down = f"{published}.downsample"
                yield f"{down}.0", f"{down}.1", (f"{ours}.downsample.0", f"{ours}.downsample.1")
    units = {f"aspp.aspp{i + 1}.atrous_conv": (f"aspp.aspp{i + 1}.bn", f"branches.{i}")
             for i in range(4)}  # fmt: skip
    units |= {
        "aspp.global_avg_pool.1": ("aspp.global_avg_pool.2", "whole_image"),
        "aspp.conv1": ("aspp.bn1", "joint"),
        "decoder.conv1": ("decoder.bn1", "low"),
        "decoder.last_conv.0": ("decoder.last_conv.1", "last.0"),
        "decoder.last_conv.4": ("decoder.last_conv.5", "last.1"),
    }
    for convolution, (norm, ours) in units.items():
        yield convolution, norm, (f"{ours}.0", f"{ours}.1")

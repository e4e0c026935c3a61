"""Names of detectron2's backbones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.swin_names import swin_names

_STAGES = (3, 4, 23, 3)
_NORM = ("weight", "bias", "running_mean", "running_var")


def backbone_names(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Published name -> our name, both without the prefix of the backbone.

    Raises:
        CheckpointError: neither a ResNet-50 or -101 nor a Swin-B.
    """
    stem = state.get("backbone.stem.conv1.weight")
    if stem is not None:
        depths = list(_STAGES)
        depths[2] = 23 if "backbone.res4.22.conv1.weight" in state else 6
        return _resnet(depths, deep_stem=stem.shape[-1] == 3)
    if "backbone.patch_embed.proj.weight" in state:
        return ((name, name) for name in swin_names())
    raise CheckpointError(
        "expected backbone.stem.conv1.weight of a ResNet or backbone.patch_embed.proj.weight of a "
        "Swin, found neither"
    )


def _resnet(depths: list[int], deep_stem: bool) -> Iterator[tuple[str, str]]:
    """Names of a ResNet."""
    for index in range(3 if deep_stem else 1):
        yield from _conv(f"stem.conv{index + 1}", f"stem.{3 * index}", f"stem.{3 * index + 1}")
    for stage, blocks in enumerate(depths):
        for block in range(blocks):
            published, ours = f"res{stage + 2}.{block}", f"stages.{stage}.{block}"
            for conv in (1, 2, 3):
                own = f"{ours}.conv{conv}", f"{ours}.bn{conv}"
                yield from _conv(f"{published}.conv{conv}", *own)
            if block == 0:
                shortcut = f"{ours}.downsample"
                yield from _conv(f"{published}.shortcut", f"{shortcut}.0", f"{shortcut}.1")


def _conv(published: str, conv: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{published}.weight", f"{conv}.weight"
    for leaf in _NORM:
        yield f"{published}.norm.{leaf}", f"{norm}.{leaf}"

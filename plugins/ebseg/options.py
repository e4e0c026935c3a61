"""Checks of the options of `EBSegEncoder`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .encoder import EBSegEncoder

__all__ = ["check_options"]

LEVELS = 3


def check_options(encoder: EBSegEncoder) -> None:
    """Checks that block numbers and sizes fit CLIP and SAM.

    Raises:
        ValueError: numbers that do not fit. The message says which, and the limits.
    """
    visual = encoder.clip.visual
    blocks = len(visual.transformer.resblocks)
    if visual.pool_type != "tok":
        raise ValueError(
            f"EBSegEncoder expects a CLIP whose image embedding is its class token, got pool type "
            f"{visual.pool_type!r}. Choose another architecture."
        )
    if not 0 < encoder.split < blocks or not 0 <= encoder.surgery < blocks:
        raise ValueError(
            f"EBSegEncoder expects split in 1..{blocks - 1} and surgery in 0..{blocks - 1}, got "
            f"{encoder.split} and {encoder.surgery}."
        )
    taps = encoder.taps
    if len(taps) != LEVELS or not all(1 <= tap <= encoder.split for tap in taps):
        raise ValueError(
            f"EBSegEncoder.taps expects {LEVELS} of CLIP's blocks 1 to split={encoder.split}, got "
            f"{list(taps)}."
        )
    patch = encoder.sam.trunk.patch_embed.patch_size[0]
    smallest = int(encoder.divisor * encoder.clip_scale)
    if (
        encoder.clip_scale <= 0
        or smallest < max(visual.patch_size)
        or encoder.divisor % (2 * patch)
    ):
        raise ValueError(
            f"EBSegEncoder pads images to multiples of divisor={encoder.divisor} pixels, which "
            f"must be an even number of SAM's patches of {patch} pixels and, times "
            f"clip_scale={encoder.clip_scale}, at least CLIP's patch of {max(visual.patch_size)} "
            f"pixels."
        )

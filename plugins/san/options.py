"""Checks of the options of `SANEncoder`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .encoder import SANEncoder

__all__ = ["check_blocks_and_sizes"]


def check_blocks_and_sizes(
    encoder: SANEncoder, stages: tuple[int, ...], depth: int, patch: int
) -> None:
    """Checks that block numbers and sizes fit CLIP and the side adapter.

    Args:
        encoder: encoder with `clip`, `split`, `fused_blocks`, `supervised`, `divisor` and
            `clip_scale`.
        stages: blocks of the adapter after which CLIP's features are added.
        depth: number of blocks of the adapter.
        patch: side of a patch of the adapter, in pixels.

    Raises:
        ValueError: numbers that do not fit. The message says which, and the limits.
    """
    visual = encoder.clip.visual
    blocks = len(visual.transformer.resblocks)
    if visual.pool_type != "tok":
        raise ValueError(
            f"SANEncoder expects a CLIP whose image embedding is its class token, got pool "
            f"type {visual.pool_type!r}. Choose another architecture."
        )
    if not 0 < encoder.split < blocks:
        raise ValueError(
            f"SANEncoder.split must be between 1 and {blocks - 1}, got {encoder.split}."
        )
    if not all(0 <= block <= encoder.split for block in encoder.fused_blocks):
        raise ValueError(
            f"SANEncoder.fusion names blocks {list(encoder.fused_blocks)} of CLIP, but only 0 to "
            f"{encoder.split}, those up to `split`, can be fused."
        )
    if len(set(stages)) < len(stages) or not all(0 <= stage <= depth for stage in stages):
        raise ValueError(
            f"SANEncoder.fusion must name different blocks from 0 to {depth} of the side "
            f"adapter, got {list(stages)}."
        )
    taps = encoder.supervised
    if not taps or list(taps) != sorted({*taps}) or not 1 <= taps[0] <= taps[-1] <= depth:
        raise ValueError(
            f"SANEncoder.supervised must name blocks from 1 to {depth} in ascending order, got "
            f"{list(taps)}."
        )
    smallest = int(encoder.divisor * encoder.clip_scale)
    if encoder.clip_scale <= 0 or smallest < max(encoder.patch_size) or encoder.divisor % patch:
        raise ValueError(
            f"SANEncoder pads images to multiples of divisor={encoder.divisor} pixels, which must "
            f"be whole patches of {patch} pixels and, times clip_scale={encoder.clip_scale}, at "
            f"least CLIP's patch of {max(encoder.patch_size)} pixels."
        )

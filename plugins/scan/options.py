"""Checks of the options of `SCANEncoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["check_context"]


def check_context(visual: Any, taps: Sequence[int], sigmas: Sequence[float]) -> None:
    """Checks that the context can be computed by an image tower.

    Args:
        visual: open_clip's VisionTransformer.
        taps: numbers of the blocks whose outputs are the context.
        sigmas: width of the filter of each of them.

    Raises:
        ValueError: another kind of tower, blocks that do not exist, or widths that do not fit.
    """
    depth = len(visual.transformer.resblocks)
    if visual.pool_type != "tok":
        raise ValueError(
            f"SCANEncoder expects a CLIP whose image embedding is its class token, got pool type "
            f"{visual.pool_type!r}. Choose another architecture."
        )
    if not taps or len(taps) != len(sigmas) or min(sigmas) <= 0:
        raise ValueError(
            f"SCANEncoder expects one of sigmas above 0 for each of taps, got {list(sigmas)} and "
            f"{list(taps)}."
        )
    if not all(1 <= tap <= depth for tap in taps):
        raise ValueError(f"SCANEncoder.taps names blocks {list(taps)}, but CLIP has 1..{depth}.")

"""Names of Swin transformers in published checkpoints, for the converters of several methods."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["swin_names", "swin_places"]

_LEAVES = ("weight", "bias")
_PARTS = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
DEPTHS = (2, 2, 18, 2)
"""Numbers of blocks of Swin-B."""


def swin_names(depths: Sequence[int] = DEPTHS) -> list[str]:
    """Names of the weights of `ovss.layers.swin.Swin`, which are those of its authors.

    Args:
        depths: number of blocks of each stage.
    """
    modules = ["patch_embed.proj", "patch_embed.norm", *(f"norm{i}" for i in range(len(depths)))]
    names = []
    for stage, blocks in enumerate(depths):
        for block in range(blocks):
            own = f"layers.{stage}.blocks.{block}"
            names.append(f"{own}.attn.relative_position_bias_table")
            modules += [f"{own}.{part}" for part in _PARTS]
        if stage < len(depths) - 1:
            names.append(f"layers.{stage}.downsample.reduction.weight")
            modules.append(f"layers.{stage}.downsample.norm")
    return names + [f"{module}.{leaf}" for module in modules for leaf in _LEAVES]


def swin_places(prefix: str, depths: Sequence[int] = DEPTHS) -> dict[str, str]:
    """Published names of tables of places, which are not weights, with the reason to drop them.

    Args:
        prefix: prefix of the published names, without its final dot.
        depths: number of blocks of each stage.
    """
    return {
        f"{prefix}.layers.{stage}.blocks.{block}.attn.relative_position_index": (
            "relative positions follow from the size of a window"
        )
        for stage, blocks in enumerate(depths)
        for block in range(blocks)
    }

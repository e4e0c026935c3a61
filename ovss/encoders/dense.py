"""Dense modes: functions that compute dense tokens from the last block of a vision tower.

CLIP trained its last block for the class token only. The patches' own output is a by-product that
mixes locations, so many methods change the last block. Each change is one function here: it gets
the last block with its input and returns the output tokens of the patches, before the tower's final
norm and projection.

To add a mode, write such a function and add it to `DENSE_MODES`; a plugin can do so when it is
imported. A mode that reads several blocks has an argument ``depth``, the number of last blocks that
it reads (see `dense_paths`).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.io.excerpts import excerpt
from ovss.registry import check_arguments

from .dense_calibrated import sc_clip
from .dense_paths import clip_surgery, gem
from .last_block import LastBlock

__all__ = ["DENSE_MODES", "DenseMode", "LastBlock", "dense_mode"]


def cat_seg(last: LastBlock) -> Tensor:
    """Each patch's own value, added to the class token's input (CAT-Seg, CVPR 2024, code).

    The residual is the input of the class token, broadcast to all patches, and not the patch's own.
    """
    return last.finish(last.tokens_BND[:, :1] + last.project(last.patches(last.v_BND)))


def maskclip(last: LastBlock) -> Tensor:
    """Each patch's own value, added to its own input (MaskCLIP, ECCV 2022, section 3.2)."""
    value_BMD = last.patches(last.v_BND)
    return last.finish(last.patches(last.tokens_BND) + last.project(value_BMD))


def vanilla(last: LastBlock) -> Tensor:
    """Unchanged output of the pre-trained block, with attention between all tokens."""
    return last.patches(last.ordinary_BND)


def sclip(last: LastBlock) -> Tensor:
    """Correlative self-attention ``(softmax(q q') + softmax(k k')) v`` with residual and MLP.

    SCLIP, ECCV 2024, arXiv 2312.01597, section 3.2. As in the authors' code, the two terms are
    added and not averaged, so each row of weights sums to 2.
    """
    output_BND = last.attend(last.heads(last.q_BND)) + last.attend(last.heads(last.k_BND))
    return last.finish(last.patches(last.tokens_BND) + last.project(output_BND))


def clearclip(last: LastBlock) -> Tensor:
    """Self-attention ``softmax(q q') v`` without residual and MLP.

    ClearCLIP, ECCV 2024, arXiv 2407.12442, section 3.
    """
    return last.project(last.attend(last.heads(last.q_BND)))


def naclip(last: LastBlock, std: float = 5.0) -> Tensor:
    """Self-attention ``softmax(k k' + g) v`` without residual and MLP; g favours near patches.

    NACLIP, WACV 2025, arXiv 2404.08181, section 3.

    Args:
        last: last block.
        std: standard deviation of the Gaussian g, in patches; 5 in the authors' code.
    """
    bias_NN = neighbourhood(last.grid, std, last.k_BND.device, last.prefix)
    return last.project(last.attend(last.heads(last.k_BND), bias_NN=bias_NN))


def neighbourhood(
    grid: tuple[int, int], std: float, device: torch.device | None = None, prefix: int = 1
) -> Tensor:
    """Gaussian ``exp(-distance ** 2 / (2 std ** 2))`` of the distance between patches, (N, N).

    Args:
        grid: (h, w).
        std: standard deviation, in patches.
        device: device of the result.
        prefix: number of first rows and columns that are 0, for the class token and registers.
    """
    rows, columns = (torch.arange(length, dtype=torch.float, device=device) for length in grid)
    row_M, column_M = torch.meshgrid(rows, columns, indexing="ij")
    place_M2 = torch.stack([row_M.flatten(), column_M.flatten()], dim=1)
    square_MM = (place_M2[:, None] - place_M2[None]).square().sum(2)
    near_MM = torch.exp(-square_MM / max(2 * std**2, 1e-12))
    return F.pad(near_MM, (prefix, 0, prefix, 0))


DENSE_MODES: dict[str, Callable[..., Tensor]] = {
    "cat_seg": cat_seg,
    "maskclip": maskclip,
    "vanilla": vanilla,
    "sclip": sclip,
    "clearclip": clearclip,
    "naclip": naclip,
    "gem": gem,
    "clip_surgery": clip_surgery,
    "sc_clip": sc_clip,
}


@dataclass(frozen=True)
class DenseMode:
    """Dense mode with its arguments.

    Args:
        function: function from a `LastBlock` to the patches' tokens (B, h * w, D).
        arguments: further arguments of the function.
        depth: number of last blocks that the function reads.
    """

    function: Callable[..., Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 1

    def __call__(self, last: LastBlock) -> Tensor:
        return self.function(last, **self.arguments)


def dense_mode(config: str | Mapping[str, Any], blocks: int) -> DenseMode:
    """Builds a dense mode from its config.

    Args:
        config: key of `DENSE_MODES`, or a dict with the key as ``type`` and the function's
            arguments, such as ``dict(type="naclip", std=3.0)``.
        blocks: number of blocks in the tower.

    Raises:
        TypeError: an argument that the function does not have. The message shows its signature.
        ValueError: an unknown name, a negative number, or a `depth` beyond the tower.
    """
    arguments = {"type": config} if isinstance(config, str) else dict(config)
    name = arguments.pop("type", None)
    if name not in DENSE_MODES:
        close = difflib.get_close_matches(str(name), DENSE_MODES, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ValueError(
            f"Unknown dense mode {excerpt(name)}. {hint}Choose one of {', '.join(DENSE_MODES)}."
        )
    function = DENSE_MODES[name]
    check_arguments(function, {"last": None, **arguments})
    bound = inspect.signature(function).bind(None, **arguments)
    bound.apply_defaults()
    for key, value in arguments.items():
        _check_number(name, key, value, inspect.signature(function).parameters[key].default)
    depth = bound.arguments.get("depth", 1)
    if not 1 <= depth <= blocks:
        raise ValueError(
            f"Dense mode {name} reads the last {depth} blocks, but the image tower has {blocks}. "
            f"Set dense=dict(type={name!r}, depth=N) with N in 1..{blocks}."
        )
    return DenseMode(function, arguments, depth)


def _check_number(name: str, key: str, value: Any, default: Any) -> None:
    """Checks that a numeric argument is not negative, and whole if its default is.

    Arguments that are not numeric are left to the function.
    """
    expected = int if isinstance(default, int) else (int, float)
    numeric = isinstance(value, int | float) or isinstance(default, int | float)
    if numeric and not (isinstance(value, expected) and value >= 0):
        kind = "whole number" if expected is int else "number"
        raise ValueError(
            f"{key} of dense mode {name} must be a {kind} of at least 0, got {excerpt(value)}."
        )

"""How a vision tower makes dense tokens: one pure function per way.

The last block of CLIP was trained for its class token only; what it does to patches is a by-product
that mixes places. Each function takes the last block with its input and gives the patches' output
tokens, before the tower's final norm and projection. To add a way, write such a function and put it
into `DENSE_MODES`; a plugin may do so when it is imported. A way that reads more than the last
block has an argument ``depth``, how many of the last blocks it reads (`dense_paths`).
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

from ovss.registry import check_arguments

from .dense_paths import clip_surgery, gem
from .last_block import LastBlock

__all__ = ["DENSE_MODES", "DenseMode", "LastBlock", "dense_mode"]


def cat_seg(last: LastBlock) -> Tensor:
    """Each patch's own value, added to the class token's input (CAT-Seg, CVPR 2024 code).

    The residual is the class token's, broadcast to all patches, not the patch's own.
    """
    return last.finish(last.tokens_BND[:, :1] + last.project(last.v_BND[:, 1:]))


def maskclip(last: LastBlock) -> Tensor:
    """Each patch's own value, added to its own input (MaskCLIP, ECCV 2022, section 3.2)."""
    return last.finish(last.tokens_BND[:, 1:] + last.project(last.v_BND[:, 1:]))


def vanilla(last: LastBlock) -> Tensor:
    """The block as it was pre-trained, attention between all tokens included."""
    return last.ordinary_BND[:, 1:]


def sclip(last: LastBlock) -> Tensor:
    """Correlative self-attention: ``(softmax(q q') + softmax(k k')) v`` (SCLIP, ECCV 2024, arXiv
    2312.01597, section 3.2).

    Residual and MLP stay. The two are added, not averaged, as in the authors' code: each row of
    weights sums to 2.
    """
    received_BND = last.attend(last.heads(last.q_BND)) + last.attend(last.heads(last.k_BND))
    return last.finish(last.tokens_BND[:, 1:] + last.project(received_BND))


def clearclip(last: LastBlock) -> Tensor:
    """``softmax(q q') v`` alone: no residual, no MLP (ClearCLIP, ECCV 2024, arXiv 2407.12442,
    section 3)."""
    return last.project(last.attend(last.heads(last.q_BND)))


def naclip(last: LastBlock, std: float = 5.0) -> Tensor:
    """``softmax(k k' + g) v`` alone, g the nearness of two patches: no residual, no MLP (NACLIP,
    WACV 2025, arXiv 2404.08181, section 3).

    Args:
        last: the last block.
        std: of the Gaussian, in patches; the authors' is 5.
    """
    bias_NN = neighbourhood(last.grid, std, last.k_BND.device)
    return last.project(last.attend(last.heads(last.k_BND), bias_NN=bias_NN))


def neighbourhood(grid: tuple[int, int], std: float, device: torch.device | None = None) -> Tensor:
    """(N, N) ``exp(-distance ** 2 / (2 std ** 2))`` between patches: 1 for a patch and itself.

    The first row and column, the class token's, are 0.
    """
    rows, columns = (torch.arange(length, dtype=torch.float, device=device) for length in grid)
    row_M, column_M = torch.meshgrid(rows, columns, indexing="ij")
    place_M2 = torch.stack([row_M.flatten(), column_M.flatten()], dim=1)
    square_MM = (place_M2[:, None] - place_M2[None]).square().sum(2)
    near_MM = torch.exp(-square_MM / max(2 * std**2, 1e-12))
    return F.pad(near_MM, (1, 0, 1, 0))


DENSE_MODES: dict[str, Callable[..., Tensor]] = {
    "cat_seg": cat_seg,
    "maskclip": maskclip,
    "vanilla": vanilla,
    "sclip": sclip,
    "clearclip": clearclip,
    "naclip": naclip,
    "gem": gem,
    "clip_surgery": clip_surgery,
}


@dataclass(frozen=True)
class DenseMode:
    """A way of making dense tokens with its arguments.

    Args:
        function: what makes the patches' tokens (B, h * w, D) of a `LastBlock`.
        arguments: its further arguments.
        depth: how many of the last blocks it reads.
    """

    function: Callable[..., Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 1

    def __call__(self, last: LastBlock) -> Tensor:
        return self.function(last, **self.arguments)


def dense_mode(config: str | Mapping[str, Any], blocks: int) -> DenseMode:
    """The way that a config asks for.

    Args:
        config: a key of `DENSE_MODES`, or a dict of it as ``type`` and the function's arguments:
            ``dict(type="naclip", std=3.0)``.
        blocks: how many blocks the tower has.

    Raises:
        TypeError: an argument that the function does not have; shows its signature.
        ValueError: an unknown name, a number below 0, more blocks than there are.
    """
    arguments = {"type": config} if isinstance(config, str) else dict(config)
    name = arguments.pop("type", None)
    if name not in DENSE_MODES:
        close = difflib.get_close_matches(str(name), DENSE_MODES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"no dense mode {name!r}: {hint}choose of {', '.join(DENSE_MODES)}")
    function = DENSE_MODES[name]
    check_arguments(function, {"last": None, **arguments})
    bound = inspect.signature(function).bind(None, **arguments)
    bound.apply_defaults()
    for key, value in arguments.items():
        _check_number(name, key, value, inspect.signature(function).parameters[key].default)
    depth = bound.arguments.get("depth", 1)
    if not 1 <= depth <= blocks:
        raise ValueError(
            f"dense mode {name} reads the last {depth} blocks, but the image tower has {blocks}: "
            f"write dense=dict(type={name!r}, depth=N), N within 1..{blocks}"
        )
    return DenseMode(function, arguments, depth)


def _check_number(name: str, key: str, value: Any, default: Any) -> None:
    """Numbers are not negative, and whole where the default is; what is no number is not ours."""
    wanted = int if isinstance(default, int) else (int, float)
    numeric = isinstance(value, int | float) or isinstance(default, int | float)
    if numeric and not (isinstance(value, wanted) and value >= 0):
        kind = "whole number" if wanted is int else "number"
        raise ValueError(f"dense mode {name}: {key} must be a {kind} of at least 0, got {value!r}")

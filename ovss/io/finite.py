"""Detection of values that are NaN or infinite in weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .excerpts import shortened

__all__ = ["all_finite", "finite_together", "not_finite", "not_finite_text"]

_MAX_LISTED = 3
_SUMMED_AS = {torch.float16: torch.float32, torch.bfloat16: torch.float32}


def all_finite(x: Tensor) -> bool:
    """Checks that a tensor has no NaN and no infinity, in one pass and without extra memory.

    The sum of a tensor is finite only if every value is. Half precision is summed as float32,
    because its own sums overflow. A sum that overflows all the same is followed by the exact test.
    """
    if x.is_complex():
        x = torch.view_as_real(x)
    if not x.is_floating_point() or x.is_meta:
        return True
    return bool(torch.isfinite(_sum(x))) or bool(torch.isfinite(x).all())


def finite_together(tensors: Sequence[Tensor], below_inf: Sequence[Tensor] = ()) -> bool:
    """Checks tensors of one device as `all_finite` does, which waits for the device once.

    Args:
        tensors: tensors of floating-point numbers that must be finite.
        below_inf: tensors that must be neither NaN nor plus infinity.
    """
    flags = [torch.isfinite(_sum(x)) for x in tensors if x.is_floating_point() and not x.is_meta]
    flags += [(x < torch.inf).all() for x in below_inf if not x.is_meta]  # False for NaN
    if not flags or bool(torch.stack(flags).all()):
        return True
    return all(bool((x < torch.inf).all()) for x in below_inf) and all(map(all_finite, tensors))


def _sum(x: Tensor) -> Tensor:
    x = x.to(torch.float32) if x.element_size() == 1 else x  # types of 8 bits have no arithmetic
    return x.sum(dtype=_SUMMED_AS.get(x.dtype, x.dtype))


def not_finite(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of values that are NaN or infinite, for each tensor that has any.

    An additive attention mask consists of 0 and -inf only. It does not count.
    """
    broken = {}
    for name, value in tensors.items():
        if all_finite(value):
            continue
        value = value.float() if value.element_size() == 1 else value
        if not bool(((value == 0) | (value == -torch.inf)).all()):
            broken[name] = int((~torch.isfinite(value)).sum())
    return broken


def not_finite_text(tensors: Mapping[str, Tensor], broken: Mapping[str, int]) -> str:
    """Part of a sentence that counts the values and names the first tensors.

    Args:
        tensors: all tensors.
        broken: result of `not_finite`.
    """
    count, first = sum(broken.values()), list(broken)[:_MAX_LISTED]
    counted = (
        f"{shortened(name)} ({broken[name]:,} of {tensors[name].numel():,})" for name in first
    )
    named = ", ".join(counted)
    more = f" and {len(broken) - len(first)} more" if len(broken) > len(first) else ""
    values = "value that is" if count == 1 else "values that are"
    return (
        f"{count:,} {values} NaN or infinite, in {len(broken)} of {len(tensors)} tensors: "
        f"{named}{more}"
    )

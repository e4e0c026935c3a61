"""Modules whose shapes matter and whose values do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["shapes_only"]

_FILLING = frozenset(
    [
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.constant_,
        Tensor.uniform_,
        Tensor.normal_,
        Tensor.fill_,
        Tensor.zero_,
        Tensor.erfinv_,
        Tensor.clamp_,
        Tensor.mul_,
        Tensor.div_,
        Tensor.add_,
        Tensor.sub_,
    ]
)
"""Functions that initialise a tensor in place and return it with the shape that it had."""


@contextmanager
def shapes_only() -> Iterator[None]:
    """Builds modules on the meta device inside the context, and skips their initialisation.

    Meta tensors have no values, but torch traces every operation on them in Python, which takes
    half of the time of building a large model. In-place operations keep a tensor's shape, so that
    leaving them out changes nothing.
    """
    with torch.device("meta"), _SkipFilling():
        yield


class _SkipFilling(TorchFunctionMode):
    """Returns meta tensors unchanged from the functions in `_FILLING`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLING:
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)

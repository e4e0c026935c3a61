"""Values that are derived from a tensor and kept until it changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from ovss.io.fingerprint import checksum

__all__ = ["Derived"]

_KEPT = 4


class Derived:
    """Latest values computed from a tensor, for example the spectrum of a convolution's weights.

    A checksum of the tensor's bytes shows that it changed, so that edits through ``.data``, which
    is how averaged weights are swapped in, are noticed as well. Copies and pickles of a module
    start without values.
    """

    def __init__(self) -> None:
        self._checksum: Tensor | None = None
        self._values: dict[Hashable, Any] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Derived:
        return Derived()

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        return Derived, ()

    def get(self, tensor: Tensor, key: Hashable, compute: Callable[[Tensor], Any]) -> Any:
        """Value of `compute` for the current content of the tensor.

        Args:
            tensor: tensor on the CPU that the value is computed from.
            key: what else the value depends on; the latest four keys are kept.
            compute: function of the detached tensor.
        """
        found = checksum(tensor)
        if self._checksum is None or not torch.equal(self._checksum, found):
            self._checksum, self._values = found, {}
        if key not in self._values:
            while len(self._values) >= _KEPT:
                self._values.pop(next(iter(self._values)))
            self._values[key] = compute(tensor.detach())
        return self._values[key]

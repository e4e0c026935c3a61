"""Pixel statistics of a model: recorded when it is saved, and set when it is loaded.

They are buffers that weights files leave out. A model takes them from the record of its pre-trained
weights, whose name a saved model no longer has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ovss.io.excerpts import excerpt

from .records import SavedModelError

__all__ = ["pixel_statistics", "set_statistics"]

_SHAPE = (3, 1, 1)


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers of one value for each colour that the state dict lacks."""
    saved = model.state_dict().keys()
    return {
        name: buffer
        for name, buffer in model.named_buffers()
        if name not in saved and tuple(buffer.shape) == _SHAPE
    }


def pixel_statistics(model: nn.Module) -> dict[str, list[float]]:
    """Values of red, green and blue, by name of the buffer."""
    return {name: buffer.flatten().tolist() for name, buffer in _buffers(model).items()}


def set_statistics(model: nn.Module, values: Any, source: str) -> None:
    """Sets the pixel statistics of a model.

    Args:
        model: model that `pixel_statistics` was called with, built again.
        values: result of `pixel_statistics`.
        source: folder that holds them, for messages.

    Raises:
        SavedModelError: other names, or values that are not three numbers.
    """
    buffers = _buffers(model)
    if not isinstance(values, Mapping) or values.keys() != buffers.keys():
        raise SavedModelError(
            f"config.json in {source} must have pixel statistics for "
            f"{', '.join(buffers) or 'nothing'}, but has {excerpt(values)}. Use an unedited copy"
        )
    for name, buffer in buffers.items():
        numbers = values[name]
        are_numbers = isinstance(numbers, (list, tuple)) and all(
            isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers
        )
        if not are_numbers or len(numbers) != _SHAPE[0] or not all(map(_is_sane, numbers)):
            raise SavedModelError(
                f"config.json in {source} must have three finite numbers for {name}, got "
                f"{excerpt(numbers)}. Use an unedited copy"
            )
        if not (name.rpartition(".")[2].startswith("mean") or all(numbers)):
            raise SavedModelError(f"config.json in {source} has a zero in {name}. Correct it")
        buffer.copy_(torch.tensor(numbers, dtype=buffer.dtype).view(_SHAPE))


def _is_sane(number: float) -> bool:
    return abs(number) <= 65535

"""State dicts as tools save them: inside other dicts, and with prefixes before every name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint_error import CheckpointError
from .excerpts import excerpt, some_of

__all__ = ["fit_names", "type_name", "unwrap_state_dict", "without_wrappers", "wrong_types"]

_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network")
_AVERAGES = ("ema", "ema_state_dict", "model_ema", "state_dict_ema", "ema_model")
WRAPPER_KEYS = (*_KEYS, "params", "weights", *_AVERAGES)
"""Keys under which checkpoints hold a state dict, the most telling first. An average of weights is
read only if the file has no other weights."""

_DISTRIBUTED, _COMPILED = "module.", "_orig_mod"
_COUNTER = "n_averaged"
"""Number that `torch.optim.swa_utils.AveragedModel` adds to the weights."""
_DEPTH = 3


def unwrap_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Finds the state dict in the content of a file.

    Args:
        content: content, see `WRAPPER_KEYS`.
        path: file, for messages.

    Raises:
        CheckpointError: the state dict is missing, or holds more than tensors.
    """
    keys: list[str] = []
    while isinstance(content, dict):
        keys.extend(str(key) for key in content)
        inner = [key for key in WRAPPER_KEYS if isinstance(content.get(key), dict)]
        if not inner:
            break
        content = content[inner[0]]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path}: expected a state dict, found {type(content).__name__}. Save the model's "
            f"state dict to a file of its own."
        )
    unnamed = [name for name in content if not isinstance(name, str)]
    if unnamed:
        raise CheckpointError(
            f"{path}: expected a state dict whose keys are the names of tensors, found the key "
            f"{excerpt(unnamed[0])}. Save the model's state dict to a file of its own."
        )
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    other = [str(name) for name in content if name not in tensors]
    if not tensors:
        raise CheckpointError(
            f"{path}: expected a state dict under {', '.join(WRAPPER_KEYS[:4])} or a similar key, "
            f"but found {some_of(other)}. Save the model's state dict under 'state_dict'."
        )
    if other:
        raise CheckpointError(
            f"{path}: expected tensors only, but these entries are not: {some_of(other)}"
        )
    return tensors


def without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Removes the name parts of wrappers that no model has itself.

    ``_orig_mod`` of `torch.compile` is removed wherever it occurs, ``module.`` of distributed
    training and of averages only if every name starts with it. Names stay if two would become the
    same.
    """
    found = {name: name for name in tensors}
    plain = {name: _without_part(name, _COMPILED) for name in found}
    while True:
        counted = [name for name in plain if plain[name] != _COUNTER]
        if not counted or not all(plain[name].startswith(_DISTRIBUTED) for name in counted):
            break
        plain = {name: plain[name].removeprefix(_DISTRIBUTED) for name in counted}
    unique = len(set(plain.values())) == len(plain)
    return {plain[name]: tensors[name] for name in plain} if unique else dict(tensors)


def fit_names(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Removes the prefix that makes most names those of a model, such as Lightning's ``model.``.

    A prefix is one or more whole parts of a name. Tensors without it keep their names, so that the
    caller can report them. If no prefix gives more names of the model, nothing changes.

    Args:
        tensors: tensors by name.
        names: names of the model.

    >>> list(fit_names({"net.top.weight": None, "net.top.bias": None}, ["top.weight", "top.bias"]))
    ['top.weight', 'top.bias']
    """
    known = set(names)
    best, most = dict(tensors), sum(name in known for name in tensors)
    if most == len(tensors):
        return best
    for prefix in _prefixes(tensors):
        renamed = {name.removeprefix(prefix): value for name, value in tensors.items()}
        hits = sum(name in known for name in renamed)
        if hits > most and len(renamed) == len(tensors):
            best, most = renamed, hits
    return best


def wrong_types(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Tensors whose kind of number is not that of a model, with both types.

    Any float type may fill another one. Integers in place of floats are quantised weights, which
    mean nothing without their scales.

    Args:
        tensors: tensors to load.
        expected: tensors of the model, by the same names.
    """
    return [
        f"{name} ({type_name(tensors[name].dtype)} instead of {type_name(expected[name].dtype)})"
        for name in expected
        if name in tensors and not _kind_fits(tensors[name], expected[name])
    ]


def _kind_fits(value: Tensor, own: Tensor) -> bool:
    if value.dtype == own.dtype or value.is_meta or (own.is_meta and not own.is_floating_point()):
        return True
    if value.is_complex() or own.is_complex():
        return False
    if own.is_floating_point() or not value.is_floating_point():
        return own.is_floating_point() == value.is_floating_point()
    return bool((value == value.round()).all())  # a counter that was converted to a float type


def type_name(dtype: torch.dtype) -> str:
    """Name of a number type for messages and records, such as ``float16``."""
    return str(dtype).removeprefix("torch.")


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Leading parts of the names, up to three, in order of appearance."""
    found: dict[str, None] = {}
    for name in tensors:
        parts = name.split(".")
        for depth in range(1, min(_DEPTH, len(parts) - 1) + 1):
            found[".".join(parts[:depth]) + "."] = None
    return list(found)


def _without_part(name: str, part: str) -> str:
    return ".".join(each for each in name.split(".") if each != part)

"""Merges values into those of a config, and reports what cannot be merged."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import ConfigDict

from ovss.io.excerpts import excerpt, shortened

from .config_source import ConfigError

__all__ = [
    "TypeChange",
    "check_mergeable",
    "merged",
    "nested",
    "type_changes",
    "without_delete",
]

_DELETE = "_delete_"


@dataclass(frozen=True)
class TypeChange:
    """Block whose ``type`` was changed without ``_delete_=True``.

    Args:
        key: dotted key of the block.
        before, after: types in the base and in the inheriting config.
        left: other keys of the block that still come from the base.
        origin: source of these keys, as messages call it.
    """

    key: str
    before: str
    after: str
    left: tuple[str, ...]
    origin: str


def type_changes(
    own: Mapping[str, Any], base: Mapping[str, Any], origin: str, key: str = ""
) -> Iterator[TypeChange]:
    """Yields the blocks of `own` that name another type than the block of `base` they extend."""
    for name, value in own.items():
        before = base.get(name)
        if not (isinstance(value, dict) and isinstance(before, dict)) or value.get(_DELETE):
            continue
        old, new = before.get("type"), value.get("type")
        if isinstance(old, str) and isinstance(new, str) and old != new:
            left = tuple(k for k in before if k != "type" and k not in value)
            yield TypeChange(f"{key}{name}", old, new, left, origin)
        yield from type_changes(value, before, origin, f"{key}{name}.")


def check_mergeable(
    own: Mapping[str, Any], base: Mapping[str, Any], key: str = "", has_indices: bool = False
) -> None:
    """Rejects values that cannot be merged into those of a base.

    Args:
        own: values to merge.
        base: values of the base.
        key: dotted key of both, with a final dot.
        has_indices: True if the keys of a dict may be indices of a list in the base.

    Raises:
        ConfigError: a dict is set where the base has a plain value, or an item of a list is set to
            something other than a dict.
    """
    for name, value in own.items():
        before = base.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            check_mergeable(value, before, f"{key}{name}.", has_indices)
        elif has_indices and isinstance(before, list) and value and _are_indices(value):
            items = {str(index): item for index, item in enumerate(before)}
            for index, item in value.items():
                if not isinstance(item, dict):
                    raise ConfigError(
                        f"{key}{name}.{index} must be dict(...), got {excerpt(item)}. Correct the "
                        f"value"
                    )
            check_mergeable(value, items, f"{key}{name}.", has_indices)
        elif isinstance(value, dict) and before is not None and not value.get(_DELETE):
            raise ConfigError(
                f"{key}{name} is {excerpt(before)} in the base, which {excerpt(value)} cannot "
                f"extend. Correct the value, or add _delete_=True to replace it"
            )


def _are_indices(value: Any) -> bool:
    return isinstance(value, dict) and all(
        str(key).isdecimal() and str(key).isascii() for key in value
    )


def without_delete(values: Any) -> Any:
    """Removes the remaining ``_delete_`` marks, in place, and returns `values`.

    mmengine keeps a mark if there was nothing to delete.
    """
    if isinstance(values, dict):
        values.pop(_DELETE, None)
        for value in values.values():
            without_delete(value)
    return values


def nested(overrides: Any) -> dict[str, Any]:
    """Converts dotted keys to nested dicts, with copies of the values.

    Args:
        overrides: dotted key -> value.

    Raises:
        ConfigError: something other than a dict of dotted keys, a key that the file of a config
            evaluates itself, or a key that is set twice.

    >>> nested({"model.head.scale": 3, "model.decoder": "x"})
    {'model': {'head': {'scale': 3}, 'decoder': 'x'}}
    """
    if not isinstance(overrides, Mapping):
        raise ConfigError(
            f"overrides must be a dict such as {{'model.decoder.scale': 100}}, got "
            f"{excerpt(overrides)}. Correct them"
        )
    own: dict[str, Any] = {}
    for key, value in overrides.items():
        *parents, last = _names(key)
        block = own
        for parent in parents:
            block = block.setdefault(parent, {})
            if not isinstance(block, dict):
                break
        if not isinstance(block, dict) or last in block:
            raise ConfigError(f"{shortened(key)} is set twice. Leave one of the values out")
        block[last] = copy.deepcopy(value)
    return own


def _names(key: Any) -> list[str]:
    """Parts of a dotted key."""
    names = key.split(".") if isinstance(key, str) else []
    if not all(names) or not names:
        raise ConfigError(
            f"a key must be names with dots between them, such as model.decoder.scale, got "
            f"{excerpt(key)}. Correct the key"
        )
    if names[0] == "_base_":
        raise ConfigError("the bases of a config are set in its file. Name another config")
    if names[0].startswith("_"):
        raise ConfigError(
            f"{shortened(names[0])} is a helper variable, which the file of the config has used "
            f"already. Set the key that it is used for"
        )
    return names


def merged(own: Any, base: Any) -> Any:
    """Merges the value of an override into the value that a config has; neither is modified.

    A dict extends a dict. A dict whose keys are indices changes items of a list. Everything else
    replaces what the config has.

    Args:
        own: value of the override.
        base: value of the config; None if it has none.

    Raises:
        ConfigError: a list has no item of such an index.
    """
    if not isinstance(own, dict):
        return own
    if own.get(_DELETE) or not isinstance(base, (dict, list)) or not base:
        return ConfigDict({key: value for key, value in own.items() if key != _DELETE})
    result: Any = copy.copy(base)
    for key, value in own.items():
        if key == _DELETE:
            continue
        if isinstance(base, dict):
            result[key] = merged(value, base.get(key))
        elif int(key) < len(base):
            result[int(key)] = merged(value, base[int(key)])
        else:
            raise ConfigError(
                f"item {key} does not exist in a list of {len(base)}, whose items count from 0. "
                f"Correct the key"
            )
    return result

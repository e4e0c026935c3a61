"""Reads JSON and YAML configs: plain values with bases and the placeholders of Python configs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovss.io.excerpts import excerpt
from ovss.io.safe_handlers import safe_yaml
from ovss.io.strict_json import parse_json

from .config_source import ConfigError, base_names, filled_text

__all__ = ["ENDINGS", "check_depth", "read_values", "with_base_values"]

ENDINGS = (".json", ".yaml", ".yml")
_DEEPEST = 100
_MOST = 1_000_000
_BASE_VALUE = re.compile(r"\{\{\s*_base_((?:\.\w+)+)\s*\}\}")


def read_values(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Values of a JSON or YAML config, and the names of its bases.

    Raises:
        ConfigError: the file cannot be read or is not a mapping of plain values with text keys.
    """
    text = filled_text(path)
    if not text.strip():
        return {}, []
    try:
        values = parse_json(text) if path.suffix == ".json" else safe_yaml(text)
    except ValueError as error:
        verb = "" if path.suffix == ".json" else "cannot be read: "
        raise ConfigError(f"{path} {verb}{error}. Correct it") from None
    except RecursionError:
        raise _too_deep(path) from None
    check_depth(values, path)
    if values is None:
        values = {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            f"{path} must hold keys and values, such as a key 'model', but holds "
            f"{excerpt(values)}. Correct it"
        )
    return values, base_names(values.pop("_base_", []), str(path))


def check_depth(values: Any, path: Path) -> None:
    """Rejects values that nest deeper than a config needs, or that are too many.

    A YAML file of a few lines can hold itself, or billions of values, because it may name a value
    twice.

    Args:
        values: value with its nested values.
        path: file of the config, for messages.

    Raises:
        ConfigError: the values nest too deeply or are too many.
    """
    level, count = [values], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                inner.extend(value.values())
            elif isinstance(value, (list, tuple, set, frozenset)):
                inner.extend(value)
            if count + len(inner) > _MOST:
                raise ConfigError(f"{path} has more than {_MOST:,} values. Simplify the config")
        if not inner:
            return
        level, count = inner, count + len(inner)
    raise _too_deep(path)


def _too_deep(path: Path) -> ConfigError:
    return ConfigError(f"{path} nests its values too deeply. Simplify the config")


def with_base_values(value: Any, base: Mapping[str, Any], path: Path) -> Any:
    """Replaces ``{{_base_.a.b}}`` in text by the value of the bases.

    Args:
        value: value of a config, with its nested values.
        base: merged values of the bases.
        path: file of the config, for messages.

    Raises:
        ConfigError: the bases have no such key.
    """
    if isinstance(value, dict):
        return {key: with_base_values(item, base, path) for key, item in value.items()}
    if isinstance(value, list):
        return [with_base_values(item, base, path) for item in value]
    if not isinstance(value, str):
        return value
    whole = _BASE_VALUE.fullmatch(value.strip())
    if whole:
        return _find(whole[1], base, path)
    return _BASE_VALUE.sub(lambda match: str(_find(match[1], base, path)), value)


def _find(dotted: str, base: Mapping[str, Any], path: Path) -> Any:
    found: Any = base
    for name in dotted.strip(".").split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise ConfigError(
                f"{path} reads _base_{dotted}, which its bases do not set. Correct it"
            )
        found = found[name]
    return found

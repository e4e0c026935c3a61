"""Reads config files with their bases and reports mistakes with file and line.

Python, JSON and YAML configs are read by the rules of mmengine. Other forms (lazy imports, bases of
other packages) are left to mmengine itself. Two things are added: a base may be a bundled config,
named without a path, and a component exchanged without ``_delete_=True`` is reported.
"""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from .config_data import ENDINGS, read_values, with_base_values
from .config_source import ConfigError, Guarded, is_lazy, parse, pop_bases

FindBase = Callable[[str], Path | None]
"""Name of a base in a config -> file among the bundled configs; None if it does not exist."""

_FOLDER = "OVSS_CONFIGS"


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


Read = tuple[ConfigDict, list[TypeChange]]


def read_file(path: Path, find_base: FindBase, chain: tuple[Path, ...] = ()) -> Read:
    """Reads a config file and merges it into its bases.

    Args:
        path: config file.
        find_base: lookup for a base that is not found relative to the file that names it.
        chain: files whose bases are being read, outermost first.

    Returns:
        Values of the config, and the blocks whose type it or a base changed.

    Raises:
        ConfigError: the file or a base cannot be read; the message names file and line.
    """
    path = path.absolute()
    if path in chain:
        loop = " -> ".join(file.name for file in (*chain[chain.index(path) :], path))
        raise ConfigError(f"{path} is its own base ({loop}). Remove it from _base_")
    tree: ast.Module | None = None
    values: dict[str, Any] = {}
    if path.suffix in ENDINGS:
        values, bases = read_values(path)
    elif path.suffix == ".py":
        tree = parse(path)
        bases = pop_bases(path, tree)
    else:
        raise ConfigError(f"{path} must end in .py, {' or '.join(ENDINGS)}. Rename the config")
    if any("::" in base for base in bases) or (tree is not None and is_lazy(path, tree)):
        return _read_by_mmengine(path)
    merged, changes = ConfigDict(), []
    for base in bases:
        file = _find_file(base, path, find_base)
        inherited, base_changes = read_file(file, find_base, (*chain, path))
        if duplicates := merged.keys() & inherited.keys():
            raise ConfigError(
                f"{path}: the bases {', '.join(bases)} both set {', '.join(sorted(duplicates))}. "
                f"Keep the key in one of them"
            )
        merged.update(inherited)
        changes += base_changes
    if tree is not None:
        own = _execute(path, tree, merged)
    else:
        own = with_base_values(values, merged, path)
    changes += type_changes(own, merged, "the base config")
    return _merge(path, own, merged), changes


def type_changes(
    own: Mapping[str, Any], base: Mapping[str, Any], origin: str, key: str = ""
) -> Iterator[TypeChange]:
    """Yields the blocks of `own` that name another type than the block of `base` they extend."""
    for name, value in own.items():
        before = base.get(name)
        if not (isinstance(value, dict) and isinstance(before, dict)) or value.get("_delete_"):
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
                        f"{key}{name}.{index} must be dict(...), got {item!r}. Correct the value"
                    )
            check_mergeable(value, items, f"{key}{name}.", has_indices)
        elif isinstance(value, dict) and before is not None and not value.get("_delete_"):
            raise ConfigError(
                f"{key}{name} is {repr(before)[:60]} in the base, which {str(value)[:60]} cannot "
                f"extend. Correct the value, or add _delete_=True to replace it"
            )


def _are_indices(value: Any) -> bool:
    return isinstance(value, dict) and all(str(key).isdecimal() for key in value)


def without_delete(values: Any) -> Any:
    """Removes the remaining ``_delete_`` marks, in place, and returns `values`.

    mmengine keeps a mark if there was nothing to delete.
    """
    if isinstance(values, dict):
        values.pop("_delete_", None)
        for value in values.values():
            without_delete(value)
    return values


def _find_file(base: str, path: Path, find_base: FindBase) -> Path:
    """Finds a base relative to the file that names it, else among the bundled configs."""
    relative = path.parent / base
    file = relative if relative.is_file() else find_base(base)
    if file is None:
        raise ConfigError(
            f"{path} names the base {base!r}, which is neither a file in {path.parent} nor a "
            f"config in {os.environ.get(_FOLDER)}. Name a bundled config, as in "
            f'_base_ = ["cat_seg_mini.py"] or _base_ = ["{{{{${_FOLDER}:}}}}/cat_seg/'
            f'cat_seg_mini.py"], or give the path of the file'
        )
    return file


def _execute(path: Path, tree: ast.Module, base: ConfigDict) -> dict[str, Any]:
    """Runs the code of a config, with the bases' values as ``_base_``; returns its variables."""
    variables: dict[str, Any] = {"_base_": base}
    with Guarded(path):
        exec(compile(tree, str(path), "exec"), variables)
        return {
            key: copy.deepcopy(value)  # one by one, so that `test = val` makes two blocks
            for key, value in variables.items()
            if key != "_base_"
            and not key.startswith("__")
            and not isinstance(value, (FunctionType, ModuleType))
        }


def _merge(path: Path, own: dict[str, Any], base: ConfigDict) -> ConfigDict:
    with Guarded(path):
        try:
            check_mergeable(own, base)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        config = Config(base)
        config.merge_from_dict(own, allow_list_keys=False)
        return without_delete(config._cfg_dict)


@contextmanager
def quiet_log(level: str) -> Iterator[None]:
    """Context in which mmengine logs only messages of `level` or above."""
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _read_by_mmengine(path: Path) -> Read:
    # info lines go to standard output, which JSON needs for itself
    with quiet_log("WARNING"), Guarded(path):
        config = Config.fromfile(path, import_custom_modules=False)
        imported = config._imported_names
        return ConfigDict({k: v for k, v in config.items() if k not in imported}), []

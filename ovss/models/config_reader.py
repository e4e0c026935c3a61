"""Reads config files with their bases and reports mistakes with file and line.

Python, JSON and YAML configs are read by the rules of mmengine. Other forms (lazy imports, bases of
other packages) are left to mmengine itself. Two things are added: a base may be a bundled config,
named without a path, and a component exchanged without ``_delete_=True`` is reported.
"""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ovss.io.excerpts import excerpt

from .config_data import ENDINGS, check_depth, read_values, with_base_values
from .config_merge import TypeChange, check_mergeable, merged, type_changes, without_delete
from .config_source import ConfigError, Guarded, is_lazy, parse, pop_bases

FindBase = Callable[[str], Path | None]
"""Name of a base in a config -> file among the bundled configs; None if it does not exist."""

_FOLDER = "OVSS_CONFIGS"


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
    inherited, changes = ConfigDict(), []
    for base in bases:
        file = _find_file(base, path, find_base)
        values_of_base, base_changes = read_file(file, find_base, (*chain, path))
        if duplicates := inherited.keys() & values_of_base.keys():
            raise ConfigError(
                f"{path}: the bases {', '.join(bases)} both set {', '.join(sorted(duplicates))}. "
                f"Keep the key in one of them"
            )
        inherited.update(values_of_base)
        changes += base_changes
    if tree is not None:
        own = _execute(path, tree, inherited)
        check_depth(own, path)
    else:
        own = with_base_values(values, inherited, path)
    changes += type_changes(own, inherited, "the base config")
    return _merge(path, own, inherited), changes


def _find_file(base: str, path: Path, find_base: FindBase) -> Path:
    """Finds a base relative to the file that names it, else among the bundled configs."""
    relative = path.parent / base
    file = relative if relative.is_file() else find_base(base)
    if file is None:
        raise ConfigError(
            f"{path} names the base {excerpt(base)}, which is neither a file in {path.parent} nor "
            f"a config in {os.environ.get(_FOLDER)}. Name a bundled config, as in "
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
        return without_delete(merged(own, base))


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

"""Config files, read with their bases: a mistake is answered with the file and the line.

It reads the Python configs of mmengine by the same rules, and hands other forms (JSON, YAML, lazy
imports, bases of other packages) to mmengine itself. What it adds: a base may be one of ours by
name, and a component that was exchanged without ``_delete_=True`` is noticed.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

FindBase = Callable[[str], Path | None]
"""Base as a config names it -> file among the bundled configs, if there is one."""

_FOLDER = "OVSS_CONFIGS"
_ENVIRONMENT = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*(\S*?)\s*['"]?\}\}""")
_BASE_VALUE = re.compile(r"\{\{\s*(_base_(?:\.\w+)+)\s*\}\}")


class ConfigError(ValueError):
    """A config that cannot be read, or that contradicts itself."""


@dataclass(frozen=True)
class TypeChange:
    """A block whose ``type`` was changed without ``_delete_=True``.

    Args:
        key: dotted key of the block.
        before, after: types that the base and the inheriting config name.
        left: other keys of the block that are still the base's.
        origin: name of the source of these keys, as messages call it.
    """

    key: str
    before: str
    after: str
    left: tuple[str, ...]
    origin: str


Read = tuple[ConfigDict, list[TypeChange]]


def read_file(path: Path, find_base: FindBase, chain: tuple[Path, ...] = ()) -> Read:
    """Values of a config file with its bases merged in, and the types changed on the way.

    Args:
        path: the file.
        find_base: lookup for a base that is not found relative to the file that names it.
        chain: files whose bases are being read, outermost first.

    Raises:
        ConfigError: the file, or a base, cannot be read; naming file and line.
    """
    path = path.absolute()
    if path in chain:
        loop = " -> ".join(file.name for file in (*chain[chain.index(path) :], path))
        raise ConfigError(f"{path} is its own base ({loop}). Remove it from _base_")
    if path.suffix != ".py":
        return _read_by_mmengine(path)
    tree = _parsed(path)
    bases = _bases(path, tree)
    if any("::" in base for base in bases) or _is_lazy(path, tree):
        return _read_by_mmengine(path)
    merged, changes = ConfigDict(), []
    for base in bases:
        file = _located(base, path, find_base)
        values, found = read_file(file, find_base, (*chain, path))
        if twice := merged.keys() & values.keys():
            raise ConfigError(
                f"{path}: the bases {', '.join(bases)} both set {', '.join(sorted(twice))}. "
                f"Keep the key in one of them"
            )
        merged.update(values)
        changes += found
    own = _values(path, tree, merged)
    changes += type_changes(own, merged, "the base config")
    return _merged(path, own, merged), changes


def type_changes(
    own: Mapping[str, Any], base: Mapping[str, Any], origin: str, key: str = ""
) -> Iterator[TypeChange]:
    """Blocks of `own` that name another type than the block of `base` they are merged into."""
    for name, value in own.items():
        before = base.get(name)
        if not (isinstance(value, dict) and isinstance(before, dict)) or value.get("_delete_"):
            continue
        old, new = before.get("type"), value.get("type")
        if isinstance(old, str) and isinstance(new, str) and old != new:
            left = tuple(k for k in before if k != "type" and k not in value)
            yield TypeChange(f"{key}{name}", old, new, left, origin)
        yield from type_changes(value, before, origin, f"{key}{name}.")


def without_delete(values: Any) -> Any:
    """Take ``_delete_`` marks out, in place, that had nothing to delete."""
    if isinstance(values, dict):
        values.pop("_delete_", None)
        for value in values.values():
            without_delete(value)
    return values


def _parsed(path: Path) -> ast.Module:
    try:
        text = _substituted(path, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8") from None
    try:
        return ast.parse(text, str(path))
    except SyntaxError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}: {error.msg}. Correct the syntax of the config"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{path} cannot be parsed as Python: {error}. Correct it") from None


def _substituted(path: Path, text: str) -> str:
    """Text of a config with mmengine's placeholders filled in."""
    own = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }
    for name, value in own.items():
        text = value.join(re.split(rf"\{{\{{\s*{name}\s*\}}\}}", text))

    def variable(found: re.Match[str]) -> str:
        value = os.environ.get(found[1]) or found[2]
        if not value:
            raise ConfigError(
                f"{path} reads the environment variable {found[1]}, which is not set and has no "
                f"default. Set it, or write {{{{${found[1]}:DEFAULT}}}}"
            )
        return value

    return _BASE_VALUE.sub(r"\1", _ENVIRONMENT.sub(variable, text))


def _sets_base(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and (
        isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_base_"
    )


def _bases(path: Path, tree: ast.Module) -> list[str]:
    """Bases that a config names; its assignment to ``_base_`` is taken out of `tree`."""
    node = next((node for node in tree.body if _sets_base(node)), None)
    if node is None:
        return []
    tree.body = [other for other in tree.body if not _sets_base(other)]
    expression = ast.Expression(node.value)  # type: ignore[attr-defined]
    with _Guarded(path, node.lineno):
        named = eval(compile(expression, str(path), "eval"), {})
    bases = [named] if isinstance(named, str) else named
    if not isinstance(bases, (list, tuple)) or not all(isinstance(b, str) for b in bases):
        raise ConfigError(
            f"{path}, line {node.lineno}: _base_ must be a file name or a list of them, got "
            f'{named!r}. Write _base_ = ["cat_seg_mini.py"]'
        )
    return list(bases)


class _Guarded:
    """Turns what a config's code raises into a `ConfigError` with the line.

    Args:
        path: file of the code.
        line: line to name where the traceback has none of `path`.
    """

    def __init__(self, path: Path, line: int | None = None) -> None:
        self.path, self.line = path, line

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, (Exception, SystemExit)):
            return
        if isinstance(error, ConfigError):
            return
        lines = [f.lineno for f in traceback.extract_tb(trace) if f.filename == str(self.path)]
        line = lines[-1] if lines else self.line
        where = f"{self.path}, line {line}" if line else str(self.path)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, SystemExit):
            text = f"the config ends the program ({text})"
        raise ConfigError(f"{where}: {text}. Correct the config") from error


def _located(base: str, path: Path, find_base: FindBase) -> Path:
    """File of a base: relative to the file that names it, else among the bundled configs."""
    near = path.parent / base
    found = near if near.is_file() else find_base(base)
    if found is None:
        raise ConfigError(
            f"{path} names the base {base!r}, which is neither a file in {path.parent} nor a "
            f"config in {os.environ.get(_FOLDER)}. Name a bundled config, as in "
            f'_base_ = ["cat_seg_mini.py"] or _base_ = ["{{{{${_FOLDER}:}}}}/cat_seg/'
            f'cat_seg_mini.py"], or give the path of the file'
        )
    return found


def _values(path: Path, tree: ast.Module, base: ConfigDict) -> dict[str, Any]:
    """Names that the code of a config leaves, run with its bases' values as ``_base_``."""
    space: dict[str, Any] = {"_base_": base}
    with _Guarded(path):
        exec(compile(tree, str(path), "exec"), space)
        return {
            key: copy.deepcopy(value)  # each by itself: `test = val` makes two blocks
            for key, value in space.items()
            if key != "_base_"
            and not key.startswith("__")
            and not isinstance(value, (FunctionType, ModuleType))
        }


def _merged(path: Path, own: dict[str, Any], base: ConfigDict) -> ConfigDict:
    with _Guarded(path):
        config = Config(base)
        config.merge_from_dict(own, allow_list_keys=False)
        return without_delete(config._cfg_dict)


def _is_lazy(path: Path, tree: ast.Module) -> bool:
    """Whether mmengine takes the file for one of its lazily imported configs."""
    if not any(isinstance(node, (ast.Import, ast.ImportFrom, ast.With)) for node in ast.walk(tree)):
        return False
    with _Guarded(path):
        return bool(Config._is_lazy_import(str(path)))


def _read_by_mmengine(path: Path) -> Read:
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")  # it reports variables on standard output, where JSON goes
    try:
        with _Guarded(path):
            config = Config.fromfile(path, import_custom_modules=False)
            imported = config._imported_names
            return ConfigDict({k: v for k, v in config.items() if k not in imported}), []
    finally:
        logger.setLevel(level)

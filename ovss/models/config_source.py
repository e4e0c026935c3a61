"""Parses the source of a config file and reports mistakes with file and line."""

from __future__ import annotations

import ast
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.excerpts import excerpt
from ovss.io.regular import open_regular

_ENVIRONMENT = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*(\S*?)\s*['"]?\}\}""")
_BASE_VALUE = re.compile(r"\{\{\s*(_base_(?:\.\w+)+)\s*\}\}")


class ConfigError(ValueError):
    """Raised when a config cannot be read or contradicts itself."""


class Guarded:
    """Context that turns an error of a config's code into a `ConfigError` with the line.

    Args:
        path: file of the code.
        line: line to report if the traceback does not contain `path`.
    """

    def __init__(self, path: Path, line: int | None = None) -> None:
        self.path, self.line = path, line

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, (KeyboardInterrupt, ConfigError)):
            return
        lines = [f.lineno for f in traceback.extract_tb(trace) if f.filename == str(self.path)]
        line = lines[-1] if lines else self.line
        where = f"{self.path}, line {line}" if line else str(self.path)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, RecursionError):
            text = "functions or values nest too deeply"
        if not isinstance(error, Exception):
            text = f"the config ends the program ({text})"
        raise ConfigError(f"{where}: {text}. Correct the config") from error


@contextmanager
def located(name: str | Path) -> Iterator[None]:
    """Context that names a config in the messages of errors, unless they name it already.

    Args:
        name: name or path of the config, as the user gave it.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        text = error.args[0] if error.args else ""
        if isinstance(text, str) and str(name) not in text:
            error.args = (f"{name}: {text}", *error.args[1:])
        raise


def parse(path: Path) -> ast.Module:
    """Parses a Python config after filling in mmengine's placeholders.

    Raises:
        ConfigError: the file is not UTF-8 text or not valid Python.
    """
    text = _BASE_VALUE.sub(r"\1", filled_text(path))
    try:
        return ast.parse(text, str(path))
    except SyntaxError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}: {error.msg}. Correct the syntax of the config"
        ) from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path} nests its values too deeply. Simplify the config") from None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be parsed as Python: {error}. Correct it") from None


def filled_text(path: Path) -> str:
    """Text of a config with mmengine's placeholders for file names and the environment filled in.

    Raises:
        ConfigError: the file is not UTF-8 text, or an environment variable is not set.
    """
    try:
        with open_regular(path, "r", encoding="utf-8-sig") as file:
            return _fill_placeholders(path, file.read())
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8"
        ) from None


def pop_bases(path: Path, tree: ast.Module) -> list[str]:
    """Removes the assignment to ``_base_`` from `tree` and returns the bases that it names."""
    node = next((node for node in tree.body if _sets_base(node)), None)
    if node is None:
        return []
    tree.body = [other for other in tree.body if not _sets_base(other)]
    expression = ast.Expression(node.value)  # type: ignore[attr-defined]
    with Guarded(path, node.lineno):
        value = eval(compile(expression, str(path), "eval"), {})
    return base_names(value, f"{path}, line {node.lineno}")


def base_names(value: Any, where: str) -> list[str]:
    """Names of bases in the value of ``_base_``.

    Args:
        value: value to check.
        where: file, with or without a line, for messages.

    Raises:
        ConfigError: the value is neither a text nor a list of texts.
    """
    bases = [value] if isinstance(value, str) else value
    if not isinstance(bases, (list, tuple)) or not all(isinstance(b, str) and b for b in bases):
        raise ConfigError(
            f"{where}: _base_ must be a file name or a list of file names, got {excerpt(value)}. "
            f"Write "
            f'_base_ = ["cat_seg_mini.py"]'
        )
    return list(bases)


def is_lazy(path: Path, tree: ast.Module) -> bool:
    """True if mmengine treats the file as one of its lazily imported configs."""
    if not any(isinstance(node, (ast.Import, ast.ImportFrom, ast.With)) for node in ast.walk(tree)):
        return False
    with Guarded(path):
        return bool(Config._is_lazy_import(str(path)))


def _fill_placeholders(path: Path, text: str) -> str:
    """Replaces mmengine's placeholders for file names and environment variables."""
    file_names = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }
    for name, value in file_names.items():
        # split and join instead of `re.sub`, which would interpret backslashes in the value
        text = value.join(re.split(rf"\{{\{{\s*{name}\s*\}}\}}", text))

    def variable(match: re.Match[str]) -> str:
        value = os.environ.get(match[1]) or match[2]
        if not value:
            raise ConfigError(
                f"{path} reads the environment variable {match[1]}, which is not set and has no "
                f"default. Set it, or write {{{{${match[1]}:DEFAULT}}}}"
            )
        return value

    return _ENVIRONMENT.sub(variable, text)


def _sets_base(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        target: ast.expr = node.target
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
    else:
        return False
    return isinstance(target, ast.Name) and target.id == "_base_"

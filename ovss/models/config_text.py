"""Configs as text in result files and checkpoints, read back without executing code."""

from __future__ import annotations

import ast
from typing import Any, TypeGuard

from mmengine.config import Config

__all__ = ["dump_config", "read_config_text"]


def dump_config(config: Config) -> str:
    """Assignments of plain values, formatted as by `mmengine.Config.dump`.

    mmengine's formatting does not preserve every value. If a value would change, the config is
    written with Python's `repr` instead.
    """
    values = config.to_dict()
    try:
        text: str = Config(config.to_dict()).pretty_text
        if read_config_text(text, "config").to_dict() == values:
            return text
    except (ValueError, SyntaxError):
        pass
    return "".join(f"{key} = {value!r}\n" for key, value in values.items())


def read_config_text(text: str, source: str) -> Config:
    """Reads a config that `dump_config` wrote.

    A config file is a program, but a result file may come from anywhere. Its config is therefore
    parsed and not executed: only names, plain values and ``dict(...)`` are accepted.

    Args:
        text: assignments, one for each key.
        source: name of the file, for messages.

    Raises:
        ValueError: the text contains anything but assignments of plain values.
    """
    try:
        lines = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f"The config in {source} is not valid (line {error.lineno})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"The config in {source} is not valid ({error})") from None
    try:
        return Config(_values(lines, source))
    except KeyError as error:  # name that mmengine reserves
        raise ValueError(f"The config in {source} is not valid: {error.args[0]}") from None
    except RecursionError:
        raise ValueError(f"The config in {source} nests its values too deeply") from None


def _values(lines: list[ast.stmt], source: str) -> dict[str, Any]:
    """Values of assignments by name."""
    values: dict[str, Any] = {}
    for line in lines:
        target = line.targets[0] if isinstance(line, ast.Assign) else None
        if not (isinstance(line, ast.Assign) and isinstance(target, ast.Name)):
            raise ValueError(
                f"The config in {source} must consist of assignments, but line {line.lineno} is "
                f"something else"
            )
        values[target.id] = _value(line.value, source)
    return values


def _is_dict_call(node: ast.expr) -> TypeGuard[ast.Call]:
    """True for calls such as ``dict(a=1)`` or ``dict({"a b": 1})``."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dict"
        and len(node.args) <= 1
        and all(isinstance(argument, ast.Dict) for argument in node.args)
        and all(keyword.arg for keyword in node.keywords)
    )


def _value(node: ast.expr, source: str) -> Any:
    if _is_dict_call(node):
        first = _value(node.args[0], source) if node.args else {}
        return {**first, **{each.arg: _value(each.value, source) for each in node.keywords}}
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_hashable(key, source) for key in node.keys if key is not None]
        return dict(zip(keys, (_value(value, source) for value in node.values)))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        read = _hashable if kind is set else _value
        return kind(read(item, source) for item in node.elts)
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _value(node.operand, source)
        if isinstance(operand, (int, float)):
            return -operand
    elif isinstance(node, ast.Constant):
        return node.value
    raise ValueError(
        f"The config in {source} must consist of plain values, but line {node.lineno} contains "
        f"{ast.unparse(node)[:60]!r}"
    )


def _hashable(node: ast.expr, source: str) -> Any:
    """Key of a dict or item of a set."""
    value = _value(node, source)
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"The config in {source} uses {value!r:.60} as a key, in line {node.lineno}"
        ) from None
    return value

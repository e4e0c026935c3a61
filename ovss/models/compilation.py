"""Modules by name pattern, and their compilation by `torch.compile`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ovss.io.excerpts import excerpt

__all__ = ["check_compiler", "compile_modules", "declared", "matching", "select_modules"]

PARTS = ("encoder", "selector", "head", "decoder")
"""Components of a segmentor that take part in a training step, in order of execution."""


def declared(model: nn.Module, what: str) -> list[str]:
    """Name patterns that the components declare, converted to names within the segmentor.

    Args:
        model: segmentor.
        what: ``"checkpointed"`` or ``"compiled"``, see `ovss.interfaces`.
    """
    return [
        f"{part}.{pattern}".rstrip(".")
        for part in PARTS
        for pattern in getattr(getattr(model, part), what)
    ]


def matching(
    model: nn.Module, patterns: Sequence[str], strict: bool = True
) -> dict[str, nn.Module]:
    """Finds the modules whose dotted names match a pattern.

    Args:
        model: module to search.
        patterns: name patterns; ``*`` stands for one part of a name, ``**`` for one or more.
        strict: True to raise an error for a pattern without a match.

    Raises:
        ValueError: a pattern without a match. The message lists names of top-level modules.
    """
    modules = dict(model.named_modules())
    matches: dict[str, nn.Module] = {}
    for pattern in patterns:
        parts = [_WILDCARDS.get(part, re.escape(part)) for part in pattern.split(".")]
        rule = re.compile(r"\.".join(parts))
        hits = {name: module for name, module in modules.items() if rule.fullmatch(name)}
        if strict and not hits:
            top = ", ".join(sorted({".".join(name.split(".")[:2]) for name in modules if name}))
            raise ValueError(
                f"No module name matches {pattern!r}. Choose from {top[:300]} and their modules."
            )
        matches.update(hits)
    return matches


_WILDCARDS = {"*": r"[^.]+", "**": r".+"}


def check_compiler(device: torch.device) -> None:
    """Checks that `torch.compile` can compile for a device.

    Raises:
        RuntimeError: no compiler is found. The message says what to install.
    """
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise RuntimeError(
                "Compilation for a GPU needs the package triton, which is not installed. Install "
                "triton, or do not compile."
            )
        return
    compilers = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
    if not any(shutil.which(name) for name in compilers if name):
        raise RuntimeError(
            "Compilation for a processor needs a C++ compiler, but none of g++, clang++, c++ and "
            "cl is on the PATH. Install one, or set CXX to its path, or do not compile."
        )


def compile_modules(model: nn.Module, options: dict[str, Any] | None) -> list[str]:
    """Compiles repeated blocks one by one with `torch.compile`, so shared code is compiled once.

    Args:
        model: segmentor, changed in place. Parameter names stay the same.
        options: options of torch.compile such as ``mode`` and ``dynamic``. The additional key
            ``modules`` holds name patterns (see `matching`) that replace those that the components
            declare. None compiles nothing.

    Returns:
        Names of the modules.
    """
    if options is None:
        return []
    settings = dict(options)
    selected = select_modules(model, settings.pop("modules", True), "compiled")
    for module in selected.values():
        module.compile(**settings)
    return list(selected)


def select_modules(
    model: nn.Module, which: bool | str | Sequence[str], what: str
) -> dict[str, nn.Module]:
    """Finds modules for a feature.

    Args:
        model: segmentor.
        which: True for the modules that the components declare, False for none, or name patterns
            (see `matching`).
        what: ``"checkpointed"`` or ``"compiled"``, see `ovss.interfaces`.

    Raises:
        TypeError: `which` is something else.
        ValueError: a pattern without a match.
    """
    if isinstance(which, bool):
        return matching(model, declared(model, what), strict=False) if which else {}
    patterns = [which] if isinstance(which, str) else which
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(f"Modules must be True, False or patterns of names, got {excerpt(which)}.")
    return matching(model, patterns)

"""Measured choices of one machine, in memory and in a file."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ovss.io.cache_folders import cache_dir
from ovss.io.files import write_text
from ovss.io.locks import FileLock
from ovss.io.strict_json import parse_json

__all__ = ["Choice", "Choices", "choices_file", "machine_facts"]

FORMAT = 1  # increase it when kernels change so that old measurements mislead


@dataclass(frozen=True)
class Choice:
    """Kernel of one operation for one class of shapes.

    Args:
        kernel: name of the kernel that is used.
        seconds: best measured time of each kernel in seconds, by name.
        fixed: name of the kernel that the fixed rule would use.
    """

    kernel: str
    seconds: dict[str, float]
    fixed: str


@cache
def machine_facts() -> dict[str, str]:
    """Facts that a measurement depends on: processor, instruction set, PyTorch and its libraries.

    The number of threads is part of a class of shapes instead, because a process may change it.
    """
    build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:16]
    return {
        "format": str(FORMAT),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "build": build,
    }


def choices_file() -> Path | None:
    """File with the choices of this machine; None if nothing is kept on disk."""
    folder = cache_dir("kernels")
    if folder is None:
        return None
    return folder / f"{_machine_digest()}.json"


@cache
def _machine_digest() -> str:
    facts = json.dumps(machine_facts(), sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _processor() -> str:
    """Name of the processor with its family and model, because names are not always unique."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    names = ("model name", "cpu family", "model", "stepping", "cache size")
    found = [facts[name] for name in names if facts.get(name)]
    return " / ".join(found) or platform.machine()


@dataclass
class Choices:
    """Choices by operation and class of shapes, read from `choices_file` on first use.

    A file that cannot be read is measured again. Names of kernels are data: an operation looks its
    own kernels up by them and ignores names that it does not know.
    """

    _known: dict[str, dict[str, Choice]] = field(default_factory=dict)
    _source: Path | None = None
    _is_kept: bool = True

    def get(self, operation: str, shape: str) -> Choice | None:
        """Choice for a class of shapes; None if it was not measured on this machine."""
        self._load()
        return self._known.get(operation, {}).get(shape)

    def put(self, operation: str, shape: str, choice: Choice) -> None:
        """Adds a measured choice, in memory and in the file."""
        self._load()
        self._known.setdefault(operation, {})[shape] = choice
        if self._source is not None and self._is_kept:
            self._save(self._source)

    def items(self) -> list[tuple[str, str, Choice]]:
        """Every (operation, class of shapes, choice), sorted."""
        self._load()
        return [
            (operation, shape, choice)
            for operation, choices in sorted(self._known.items())
            for shape, choice in sorted(choices.items())
        ]

    def clear(self) -> None:
        """Forgets every choice of this machine, so that each is measured again."""
        self._known, self._source = {}, choices_file()
        if self._source is not None:
            self._source.unlink(missing_ok=True)

    def _load(self) -> None:
        source = choices_file()
        if source != self._source:
            self._source, self._is_kept = source, True
            self._known = {} if source is None else _read(source)

    def _save(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock"), "measuring kernels", wait=True, again=True):
                for operation, choices in _read(path).items():  # of other processes
                    self._known[operation] = {**choices, **self._known.get(operation, {})}
                text = json.dumps(
                    {"machine": machine_facts(), "choices": _as_data(self._known)}, indent=1
                )
                write_text(path, text + "\n", durable=False)
        except OSError as error:
            self._is_kept = False  # the choices stay in memory
            warnings.warn(
                f"The measured choice of kernels cannot be kept ({error}), so each process "
                "measures again. Set OVSS_CACHE_DIR to a writable folder, or to 'off'.",
                stacklevel=2,
            )


def _as_data(known: dict[str, dict[str, Choice]]) -> dict[str, Any]:
    return {
        operation: {
            shape: {"kernel": c.kernel, "fixed": c.fixed, "seconds": c.seconds}
            for shape, c in sorted(choices.items())
        }
        for operation, choices in sorted(known.items())
    }


def _read(path: Path) -> dict[str, dict[str, Choice]]:
    """Content of a file of choices; empty if it is missing, damaged or of another machine."""
    try:
        data = parse_json(path.read_bytes())
        if data["machine"] != machine_facts():
            return {}
        return {
            operation: {shape: _choice(value) for shape, value in shapes.items()}
            for operation, shapes in data["choices"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _choice(value: dict[str, Any]) -> Choice:
    seconds = {str(name): float(time) for name, time in value["seconds"].items()}
    if not all(math.isfinite(time) and time > 0 for time in seconds.values()):
        raise ValueError("a time that is not positive")
    if value["kernel"] not in seconds:
        raise ValueError("a kernel that was not measured")
    return Choice(str(value["kernel"]), seconds, str(value["fixed"]))

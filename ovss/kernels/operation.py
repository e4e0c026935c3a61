"""Operation with several kernels, of which the fastest is used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch

from .choices import Choice, Choices
from .settings import is_tuning

__all__ = ["Kernel", "Operation", "operations"]

_CHOICES = Choices()
_LOCK = RLock()
_TURNS = 5
_ENOUGH = 1.0  # seconds after which a measurement takes no further turn
MARGIN = 0.97  # a kernel must be faster than the fixed one by more than noise
_OPERATIONS: dict[str, Operation] = {}


@dataclass(frozen=True)
class Kernel:
    """Way to compute an operation.

    Args:
        name: name in lists and in the file of choices.
        run: function of the operation's inputs, which it does not change.
        usable: True for inputs that `run` can process.
    """

    name: str
    run: Callable[..., Any]
    usable: Callable[..., bool] = lambda *_: True


class Operation:
    """Computation with several kernels that give the same result within rounding.

    Args:
        name: name in lists and in the file of choices.
        kernels: kernels, of which at least one can process any input.
        fixed: name of the kernel to use without measurement; function of the inputs.

    The kernel for a class of shapes is looked up in memory, then in the file of this machine, and
    is measured otherwise: every usable kernel runs on the inputs at hand in turn, `_TURNS` times
    after one run that does not count, and the best time decides.
    """

    def __init__(self, name: str, kernels: tuple[Kernel, ...], fixed: Callable[..., str]) -> None:
        self.name, self.fixed = name, fixed
        self.kernels = {kernel.name: kernel for kernel in kernels}
        self._fast: dict[tuple[Any, ...], str] = {}
        self._folder: str | None = None
        _OPERATIONS[name] = self

    def __call__(self, shape: tuple[Any, ...], *inputs: Any) -> Any:
        """Result of the chosen kernel.

        Args:
            shape: class of shapes: numbers and words by which the fastest kernel may differ.
            inputs: inputs of the kernels.
        """
        return self.kernels[self.choose(shape, *inputs)].run(*inputs)

    def choose(self, shape: tuple[Any, ...], *inputs: Any) -> str:
        """Name of the kernel for these inputs."""
        if not is_tuning():
            return self.fixed(*inputs)
        folder = os.environ.get("OVSS_CACHE_DIR")  # cheaper than `choices_file`, at every call
        if folder != self._folder:
            self._folder, self._fast = folder, {}
        shape = (*shape, torch.get_num_threads())
        name = self._fast.get(shape)
        if name is None:
            name = self._fast[shape] = self._look_up(" ".join(map(str, shape)), inputs)
        return name if self.kernels[name].usable(*inputs) else self.fixed(*inputs)

    def _look_up(self, shape: str, inputs: tuple[Any, ...]) -> str:
        with _LOCK:
            usable = [kernel for kernel in self.kernels.values() if kernel.usable(*inputs)]
            choice = _CHOICES.get(self.name, shape)
            # a version with other kernels measures again
            if choice is None or choice.seconds.keys() != {k.name for k in usable}:
                choice = self._measure(self.fixed(*inputs), usable, inputs)
                if len(choice.seconds) > 1:  # nothing to choose otherwise
                    _CHOICES.put(self.name, shape, choice)
            return choice.kernel

    def _measure(self, fixed: str, usable: list[Kernel], inputs: tuple[Any, ...]) -> Choice:
        if len(usable) < 2:
            return Choice(fixed, {}, fixed)
        times: dict[str, list[float]] = {kernel.name: [] for kernel in usable}
        started = time.perf_counter()
        with torch.no_grad():
            for turn in range(_TURNS + 1):
                for kernel in usable:
                    begin = time.perf_counter()
                    kernel.run(*inputs)
                    if turn:
                        times[kernel.name].append(time.perf_counter() - begin)
                if turn and time.perf_counter() - started > _ENOUGH:
                    break
        best = {name: max(min(values), 1e-9) for name, values in times.items()}
        fastest = min(best, key=best.__getitem__)
        if fixed in best and best[fastest] > MARGIN * best[fixed]:
            fastest = fixed
        return Choice(fastest, best, fixed)


def operations() -> dict[str, Operation]:
    """Every operation by name."""
    return dict(_OPERATIONS)


def known_choice(name: str, shape: str) -> Choice | None:
    """Choice of this machine for a class of shapes; None if it was not measured."""
    with _LOCK:
        return _CHOICES.get(name, shape)


def keep_choice(name: str, shape: str, choice: Choice) -> None:
    """Keeps a measured choice of this machine."""
    with _LOCK:
        _CHOICES.put(name, shape, choice)


def measured() -> list[tuple[str, str, Choice]]:
    """Every measured (operation, class of shapes, choice) of this machine."""
    return _CHOICES.items()


def forget() -> None:
    """Deletes the measured choices of this machine."""
    with _LOCK:
        _CHOICES.clear()
        for operation in _OPERATIONS.values():
            operation._fast.clear()


def size_class(count: int) -> int:
    """Power of two at or above a count, by which classes of shapes are made.

    >>> [size_class(n) for n in (1, 2, 3, 576, 1024)]
    [1, 2, 4, 1024, 1024]
    """
    return 1 << max(count - 1, 0).bit_length()

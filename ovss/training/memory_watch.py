"""Foresees that memory will not suffice for training, before the system ends the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import nn

from ovss.io.advice import hint
from ovss.io.memory import Memory, available_memory, resident_bytes

__all__ = ["MemoryForecastError", "MemoryWatch", "check_state_fits"]

_GIB = 1 << 30
_INTERVAL = 0.1  # seconds between two looks at the memory that is left
_RESERVE = 0.04  # part of the limit below which the system may end the process at any time
_STATES = {"Adam": 2, "AdamW": 2, "NAdam": 2, "RAdam": 2, "Adamax": 2, "Lion": 1}
"""Values that an optimizer keeps for each trainable parameter."""


class MemoryForecastError(ValueError):
    """Training cannot fit into memory, which is known before its first step."""


def check_state_fits(
    model: nn.Module, optimizer: torch.optim.Optimizer, available: Memory | None
) -> None:
    """Rejects a training whose gradients and optimizer state alone exceed the memory.

    Args:
        model: model before its first step.
        optimizer: its optimizer.
        available: memory that is left; None: unknown.

    Raises:
        MemoryForecastError: they exceed it.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(p.numel() * p.element_size() for p in trainable if p.grad is None)
    copies = _STATES.get(type(optimizer).__name__, 0)
    new = sum(p.numel() * p.element_size() for p in trainable if p not in optimizer.state)
    needed = gradients + copies * new
    if available is None or needed <= available.left:
        return
    raise MemoryForecastError(
        f"Training needs at least {needed / _GIB:.2f} GiB more for the gradients and the optimizer "
        f"state of {sum(p.numel() for p in trainable):,} trainable parameters, but only "
        f"{available} are left. Train fewer parameters or a smaller encoder, or use a machine with "
        f"more memory"
    )


class MemoryWatch:
    """Watches the memory during training and warns once before it runs out.

    Args:
        warn: function that receives the warning.
        images: number of images that are processed at a time.
        on_gpu: True if the model computes on a GPU, whose memory is looked at between steps.
        read: function that returns the memory that is left.
        resident: function that returns the bytes this process holds.
    """

    def __init__(
        self,
        warn: Callable[[str], object],
        images: int,
        on_gpu: bool = False,
        read: Callable[[], Memory | None] | None = None,
        resident: Callable[[], int | None] = resident_bytes,
    ) -> None:
        self.warn, self.images, self.on_gpu = warn, images, on_gpu
        self.read = read or (_left_on_gpu if on_gpu else available_memory)
        self.resident = torch.cuda.memory_allocated if on_gpu else resident
        fewer = "Process fewer images at a time" if images > 1 else "Use smaller images"
        # the sentence of the command is known in this thread only
        self.advice = f"{fewer}. {hint('memory')}".strip()
        self.has_warned = self.has_stepped = False
        self.peak = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> MemoryWatch:
        if not self.on_gpu and self.read() is not None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="memory-watch")
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Context of a training step; after the first one the need of the next is estimated."""
        if self.has_stepped:
            yield
            return
        before = self.peak = self.resident() or 0
        yield
        self.has_stepped = True
        self.look()
        if self.on_gpu:
            self.peak = max(self.peak, torch.cuda.max_memory_allocated())
        available, needed = self.read(), self.peak - before
        if available is not None and needed > available.left:
            self._say(
                f"the first step needed {needed / _GIB:.2f} GiB for {self.images} "
                f"image{'s' * (self.images > 1)} at a time, and {available} are left for the next"
            )

    def look(self) -> None:
        """Looks at the memory once."""
        self.peak = max(self.peak, self.resident() or 0)
        available = self.read()
        if not self.on_gpu and available and available.left < _RESERVE * available.total:
            self._say(f"only {available} are left, and the system may end this process")

    def _say(self, problem: str) -> None:
        if not self.has_warned:
            self.has_warned = True
            self.warn(f"Memory is short: {problem}. {self.advice}")

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.look()


def _left_on_gpu() -> Memory:
    """Memory of the current GPU that is free or held by torch for later use."""
    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return Memory(free + held, total, "GPU")

"""Counts the work of a run by stage: operations, operator calls and bytes held. No clock."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from .complexity import counted

REST = "rest"
"""Stage of what runs between the components: views, merging and the label map."""


@dataclass
class Work:
    """Work of a stage or of a whole run.

    Args:
        flops: floating-point operations of matrix products, convolutions and attention.
        calls: number of calls of torch's operators, views included.
        peak_bytes: largest number of bytes that tensors made during the run held at a time. Weights
            and inputs are not included, nor is memory that a kernel uses inside.
    """

    flops: int = 0
    calls: int = 0
    peak_bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        """Content for JSON."""
        return asdict(self)


def total_work(stages: dict[str, Work]) -> Work:
    """Work of all stages: sums, and the largest peak."""
    each = stages.values()
    return Work(
        sum(work.flops for work in each),
        sum(work.calls for work in each),
        max((work.peak_bytes for work in each), default=0),
    )


class WorkMeter(TorchDispatchMode):
    """Sees every operator call inside its context and adds it to the current stage.

    A storage is counted when an operator returns a tensor on it for the first time, and until it is
    freed. Storages that appear as arguments first existed before.

    Args:
        counter: active counter of FLOPs.
    """

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.stages: dict[str, Work] = {}
        self.kept: list[Tensor] = []
        self._names = [REST]
        self._live = 0
        self._flops = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._known.add(tensor.untyped_storage())
        result = func(*args, **(kwargs or {}))
        work = self._work()
        work.calls += 1
        for tensor in _tensors(result):
            self._hold(tensor.untyped_storage())
        work.peak_bytes = max(work.peak_bytes, self._live)
        return result

    def as_stage(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `call` so that its work is added to a stage."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.settle()
            self._names.append(name)
            try:
                return call(*args, **kwargs)
            finally:
                self.settle()
                self._names.pop()

        return run

    def settle(self) -> None:
        """Adds the FLOPs since the last call to the current stage."""
        flops = self.counter.get_total_flops()
        self._work().flops += flops - self._flops
        self._flops = flops

    def _work(self) -> Work:
        return self.stages.setdefault(self._names[-1], Work())

    def _hold(self, storage: Any) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        self._live += size
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._live -= size


@contextmanager
def work_meter() -> Iterator[WorkMeter]:
    """Counts the work inside the context, without gradients.

    Collection of reference cycles is off meanwhile, so that the bytes held do not depend on when it
    happens to run.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with counted() as counter, WorkMeter(counter) as meter:
            yield meter
            meter.settle()
    finally:
        if was_enabled:
            gc.enable()


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]

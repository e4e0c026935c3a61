"""Data loaders with and without worker processes, and the end of these processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["batches_of", "stop_workers", "without_worker_options"]

_WORKER_OPTIONS = ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context")
"""Options of torch's DataLoader that concern its worker processes only."""


def without_worker_options(loader: Mapping[str, Any]) -> dict[str, Any]:
    """Config of a data loader that torch accepts for any number of workers.

    With ``num_workers=0`` images are loaded in the process that uses them. torch rejects the
    options of workers then, so they are left out. Configs may therefore set them for the usual
    case, and ``num_workers`` alone decides.

    Args:
        loader: config of a data loader.

    >>> without_worker_options({"batch_size": 2, "num_workers": 0, "persistent_workers": True})
    {'batch_size': 2, 'num_workers': 0}
    """
    if loader.get("num_workers"):
        return dict(loader)
    return {key: value for key, value in loader.items() if key not in _WORKER_OPTIONS}


@contextmanager
def batches_of(loader: Any) -> Iterator[Iterator[Any]]:
    """Context with an iterator over the batches of a data loader; its workers end with it.

    Args:
        loader: torch's DataLoader.
    """
    batches = iter(loader)
    try:
        yield batches
    finally:
        _stop(batches)
        stop_workers(loader)


def stop_workers(holder: Any) -> None:
    """Ends the worker processes of a data loader; its next iterator starts others.

    torch ends them when the iterator over the batches is freed. Where Python frees it in a garbage
    collection, together with the queues to the workers, no message reaches these, and torch waits
    5 seconds for each of them. That holds for runners, because they refer to themselves.

    Args:
        holder: torch's DataLoader, or mmengine's endless iterator over one.
    """
    _stop(getattr(holder, "_iterator", None))
    if hasattr(holder, "_iterator"):
        holder._iterator = None


def _stop(batches: Any) -> None:
    if hasattr(batches, "_shutdown_workers"):  # torch's iterator over batches of other processes
        batches._shutdown_workers()

"""Data loaders with and without worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["without_worker_options"]

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

"""Evaluation: pixel counts, the metric, and a resumable test loop."""

from __future__ import annotations

from importlib import import_module


def register_evaluation() -> None:
    """Registers the metric, the resumable test loop and the image hook; idempotent."""
    for module in ("metric", "loop", "images"):
        import_module(f"ovss.evaluation.{module}")

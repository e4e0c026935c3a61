"""Evaluation: pixel counts, the metric, and a test loop that can be resumed."""

from __future__ import annotations

from importlib import import_module


def register_evaluation() -> None:
    """Register the metric, the loop that can be continued, and its hook for images; idempotent."""
    for module in ("metric", "loop", "images"):
        import_module(f"ovss.evaluation.{module}")

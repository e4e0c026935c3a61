"""Scores of label maps; `register_evaluation()` makes metrics and test loop known to mmengine."""

from __future__ import annotations

from importlib import import_module


def register_evaluation() -> None:
    """Register the metric, the loop that can be continued, and its sampler; idempotent."""
    for module in ("metric", "loop"):
        import_module(f"ovss.evaluation.{module}")

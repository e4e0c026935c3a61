"""Scores of label maps; `register_evaluation()` makes the metrics known to mmengine."""

from __future__ import annotations

from importlib import import_module


def register_evaluation() -> None:
    """Register the metrics; idempotent."""
    import_module("ovss.evaluation.open_vocab_iou")

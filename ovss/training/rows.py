"""Rows of a training curve: the losses and the learning rate of a step, and validation metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.runner import Runner

__all__ = ["VALIDATION", "is_validation", "step_row", "validation_row"]

VALIDATION = "val_"
"""Start of the keys that hold validation metrics."""


def step_row(runner: Runner, outputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Row of the step that a runner has just taken, before its schedulers step.

    Args:
        runner: runner in ``after_train_iter``, whose `iter` counts the steps before this one.
        outputs: scalar losses of the step.
    """
    row: dict[str, Any] = {"iter": runner.iter + 1}
    row.update((key, float(value.detach())) for key, value in (outputs or {}).items())
    rates = runner.optim_wrapper.get_lr()
    row["lr"] = rates.get("base_lr", rates["lr"])[0]
    return row


def validation_row(runner: Runner, metrics: Mapping[str, float] | None) -> dict[str, Any]:
    """Row of a validation after `runner.iter` steps."""
    values = {f"{VALIDATION}{key}": float(value) for key, value in (metrics or {}).items()}
    return {"iter": runner.iter, **values}


def is_validation(row: Mapping[str, Any]) -> bool:
    """True for the row of a validation, False for that of a step."""
    return any(key.startswith(VALIDATION) for key in row)

"""Learning rates of a schedule at any iteration, for trainings that resume with another one."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.runner import Runner

__all__ = ["replay_schedule"]

_INITIAL = "initial_"


def replay_schedule(runner: Runner) -> Any:
    """Builds the schedulers of the config and steps them up to the current iteration.

    mmengine's schedulers compute a rate from the one before. Only the same steps from the same
    start therefore give exactly the rates of an uninterrupted training.

    Args:
        runner: runner whose optimiser and iteration were resumed from a checkpoint.

    Returns:
        The schedulers; None if the config has none. The optimiser has the rates of the iteration.
    """
    for group in runner.optim_wrapper.param_groups:
        for key in [key for key in group if key.startswith(_INITIAL)]:
            group[key.removeprefix(_INITIAL)] = group[key]
    config = runner.cfg.get("param_scheduler")
    if not config:
        return None
    schedulers = runner.build_param_scheduler(config)
    groups = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    by_step = [each for group in groups for each in group if not each.by_epoch]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they warn about steps without a step of the optimiser
        for _ in range(runner.iter):
            for scheduler in by_step:
                scheduler.step()
    return schedulers

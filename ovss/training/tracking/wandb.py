"""Curves in Weights & Biases."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from mmengine.visualization import WandbVisBackend

from ovss.io.excerpts import shortened

from ..rows import is_validation
from .tracker import Row, Sent, TrackedRun, Tracker, TrackingError, scalars_of

__all__ = ["WandbTracker"]

_AXIS = "iteration"


class WandbTracker(Tracker):
    """Run in Weights & Biases, whose charts have the iterations of the training as axis.

    Points cannot be removed there. A resumed run therefore keeps those that the interrupted run
    wrote after the checkpoint, and adds the points after them.

    Args:
        project: name of the project; None: ``WANDB_PROJECT``, or ovss.
        entity: name of the user or team; None: ``WANDB_ENTITY``, or that of the login.
        run: name of the run; None: that of the working directory.
        mode: ``online``, ``offline`` or ``disabled``; None: ``WANDB_MODE``, or online.
    """

    name: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    delay: ClassVar[float] = 60.0  # a process of its own writes in the background

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        run: str | None = None,
        mode: str | None = None,
    ) -> None:
        self.project, self.entity, self.run, self.mode = project, entity, run, mode
        self.backend: WandbVisBackend | None = None

    def open(self, run: TrackedRun) -> str:
        import os

        import wandb

        run.folder.mkdir(parents=True, exist_ok=True)
        identity = run.identity or uuid.uuid4().hex[:12]
        options: dict[str, Any] = {
            "project": self.project or os.environ.get("WANDB_PROJECT", "ovss"),
            "entity": self.entity,
            "name": self.run or run.name,
            "id": identity,
            "resume": "allow",
            "mode": self.mode,
            "config": dict(run.settings),
            "allow_val_change": True,
            "settings": wandb.Settings(console="off"),
        }
        self.backend = WandbVisBackend(str(run.folder), options)
        try:
            self._run = self.backend.experiment.run  # mmengine opens the run here
        except (wandb.Error, OSError, ValueError) as error:
            text = shortened(" ".join(str(error).split()), 200)
            raise TrackingError(
                f"Weights & Biases cannot be used for this training ({text}). Run `wandb login`, "
                f"set WANDB_MODE=offline, or leave wandb out of track"
            ) from error
        return identity

    def begin(self, sent: Sent, iteration: int) -> Sent:
        for name in ("train/*", "val/*"):
            self._run.define_metric(name, step_metric=_AXIS)
        last = self._run.starting_step - 1
        if last < 0:  # a new run, or one without a server that could count its rows
            return sent
        return Sent(last // 2, (last - 1) // 2)

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            # rows of one step are kept back until the next step, so each row has a step of its own;
            # the numbers continue those of the interrupted run, also where both wrote offline
            step = 2 * int(row["iter"]) + is_validation(row)
            self._run.log({_AXIS: row["iter"], **scalars_of(row)}, step=step, commit=True)

    def close(self, complete: bool) -> None:
        if self.backend is not None:
            self._run.finish(exit_code=0 if complete else 1)

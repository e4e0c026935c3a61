"""Interface of the services that show the curve of a training while it runs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..rows import VALIDATION, is_validation

__all__ = ["Row", "Sent", "TrackedRun", "Tracker", "TrackingError", "scalars_of"]

Row = Mapping[str, float]
"""Row of ``curve.jsonl``: the iteration under ``iter``, and values by name."""

_LONGEST_VALUE = 250  # MLflow before 2.9 takes 500


class TrackingError(ValueError):
    """A tracker cannot be opened: the service refuses it or cannot be reached."""


@dataclass(frozen=True)
class Sent:
    """Progress of a tracker: the last rows that it holds.

    Args:
        train: iteration of the last step.
        val: iteration of the last validation.
    """

    train: int = 0
    val: int = 0

    def holds(self, row: Row) -> bool:
        """True if a row is among those that the tracker holds."""
        return row["iter"] <= (self.val if is_validation(row) else self.train)

    def after(self, rows: Sequence[Row]) -> Sent:
        """Progress after some rows, in the order of the curve, were written too."""
        steps = [int(row["iter"]) for row in rows if not is_validation(row)]
        validations = [int(row["iter"]) for row in rows if is_validation(row)]
        return Sent(max([self.train, *steps]), max([self.val, *validations]))


@dataclass(frozen=True)
class TrackedRun:
    """Training that a tracker shows.

    Args:
        name: name of the run: that of the working directory.
        folder: folder for files of trackers, absolute.
        config: final config, as Python code.
        settings: leaves of the config by dotted key, and ``protocol.name``,
            ``protocol.method_hash`` and ``protocol.full_hash``.
        identity: name under which the service knows the run that is resumed; None: a new run.
    """

    name: str
    folder: Path
    config: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    identity: str | None = None

    def short_settings(self) -> dict[str, str]:
        """Settings as texts of at most 250 characters, which every service takes."""
        texts = {k: v if isinstance(v, str) else repr(v) for k, v in self.settings.items()}
        return {key: text[:_LONGEST_VALUE] for key, text in texts.items()}


class Tracker(ABC):
    """Service that shows the curve of a training while it runs; only rank 0 has trackers.

    The arguments of a tracker are its options in the config key ``track``.
    """

    name: ClassVar[str]
    """Name in ``track``, and name of the extra that installs it."""

    package: ClassVar[str]
    """Python package that it needs."""

    delay: ClassVar[float] = 0.0
    """Seconds after which written rows survive a kill of this process."""

    @abstractmethod
    def open(self, run: TrackedRun) -> str:
        """Opens the run at the service, before the model is built, and writes its settings.

        Returns:
            Name under which the service knows the run, for a later `TrackedRun.identity`.

        Raises:
            TrackingError: the service refuses the run or cannot be reached.
        """

    @abstractmethod
    def begin(self, sent: Sent, iteration: int) -> Sent:
        """Begins at an iteration, before any row is written.

        Args:
            sent: progress of the interrupted run; zeros for a new one.
            iteration: number of steps that the run has taken: 0, or that of its checkpoint.

        Returns:
            Rows that it keeps; later rows of the curve are written again.
        """

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Writes rows of the curve, which survive a kill of this process after `delay`.

        Raises:
            Exception: the service cannot be reached; the rows are written again later.
        """

    @abstractmethod
    def close(self, complete: bool) -> None:
        """Closes the run.

        Args:
            complete: False if the training ended with an error.
        """


def scalars_of(row: Row) -> dict[str, float]:
    """Values of a row under the names that trackers show. Undefined metrics are left out.

    >>> scalars_of({"iter": 3, "loss": 0.5, "lr": 0.1})
    {'train/loss': 0.5, 'train/lr': 0.1}
    >>> scalars_of({"iter": 3, "val_mIoU": 20.0, "val_mIoU_unseen": float("nan")})
    {'val/mIoU': 20.0}
    """
    named = {
        f"val/{key[len(VALIDATION) :]}" if key.startswith(VALIDATION) else f"train/{key}": value
        for key, value in row.items()
        if key != "iter"
    }
    return {key: value for key, value in named.items() if math.isfinite(value)}

"""Hook that sends the curve of a training to trackers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from ovss.io.excerpts import shortened

from ..curve import read_curve
from ..rows import step_row, validation_row
from .feeds import PAUSE, Feed, read_state, write_state
from .tracker import Sent, TrackedRun, Tracker, TrackingError

__all__ = ["FOLDER", "TrackingHook"]

FOLDER = "tracking"
"""Folder in the working directory for files of trackers and the state of this hook."""

_LONGEST_PAUSE = 600.0


class TrackingHook(Hook):
    """Sends losses, the learning rate and validation metrics to trackers, on rank 0.

    Rows are sent every ten seconds, after each validation and at the end. If a service cannot be
    reached, the training continues, and its rows are sent later. What a service lacks at the start
    of a resumed run is read from ``curve.jsonl``.

    Args:
        trackers: trackers, none of them open.
        work_dir: working directory of the training.
        run: the training.
        is_resumed: True if the run continues from a checkpoint in `work_dir`.

    Raises:
        TrackingError: a service refuses the run or cannot be reached.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        work_dir: str | Path,
        run: TrackedRun,
        is_resumed: bool = False,
    ) -> None:
        self.curve, self.state = Path(work_dir) / "curve.jsonl", run.folder / "state.json"
        known = read_state(self.state) if is_resumed else {}
        self.feeds: list[Feed] = []
        try:
            for tracker in trackers:
                before, sent = known.get(tracker.name, (None, Sent()))
                identity = tracker.open(replace(run, identity=before))
                self.feeds.append(Feed(tracker, identity, sent if identity == before else Sent()))
        except BaseException:
            self.close(complete=False)
            raise

    def before_train(self, runner: Runner) -> None:
        """Begins where the run begins, and sends the rows of the curve that a service lacks."""
        rows = [row for row in read_curve(self.curve) if row["iter"] <= runner.iter]
        for feed in self.feeds:
            try:
                feed.sent = feed.safe = feed.tracker.begin(feed.sent, runner.iter)
            except Exception as error:  # services raise their own kinds
                raise TrackingError(
                    f"{feed.tracker.name} does not take the settings of this training "
                    f"({_text_of(error)}). Correct it, or leave {feed.tracker.name} out of track"
                ) from error
            feed.waiting = [row for row in rows if not feed.sent.holds(row)]
        self._send(runner, at_once=True)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        self._add(step_row(runner, outputs))
        self._send(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._add(validation_row(runner, metrics))
        self._send(runner, at_once=True)

    def after_train(self, runner: Runner) -> None:
        for feed in self.feeds:
            feed.pause = PAUSE  # a last attempt, even if the service was away before
        self._send(runner, at_once=True)
        for feed in self.feeds:
            if feed.waiting:
                runner.logger.warning(
                    f"{len(feed.waiting):,} rows of the curve were not sent to "
                    f"{feed.tracker.name}. They are in {self.curve}. Resume the training to send "
                    f"them"
                )

    def close(self, complete: bool) -> None:
        """Closes all trackers.

        Args:
            complete: False if the training ended with an error.
        """
        feeds, self.feeds = self.feeds, []
        for feed in feeds:
            try:
                if feed.waiting and not complete:
                    feed.write()  # the rows before the error, which explain it
                feed.tracker.close(complete)
                feed.safe = feed.sent
            except Exception as error:  # the training is over, and its own error matters more
                text = f"{feed.tracker.name} could not be closed ({_text_of(error)})"
                MMLogger.get_current_instance().warning(text)
        if any(feed.sent.train for feed in feeds):
            write_state(self.state, feeds)

    def _add(self, row: Mapping[str, Any]) -> None:
        for feed in self.feeds:
            if not feed.sent.holds(row):
                feed.waiting.append(row)

    def _send(self, runner: Runner, at_once: bool = False) -> None:
        """Sends waiting rows where that is due."""
        now, is_changed = time.monotonic(), False
        for feed in self.feeds:
            is_due = now - feed.last >= feed.pause or (at_once and feed.pause == PAUSE)
            if not feed.waiting or not is_due:
                continue
            try:
                feed.write()
            except Exception as error:  # services raise their own kinds; the training goes on
                feed.pause = min(2 * feed.pause, _LONGEST_PAUSE)
                runner.logger.warning(
                    f"{feed.tracker.name} takes no rows of the curve now ({_text_of(error)}). The "
                    f"training continues, and the rows are sent later"
                )
            else:
                is_changed = True
            feed.last = time.monotonic()
        if is_changed:
            write_state(self.state, self.feeds)


def _text_of(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), 200)

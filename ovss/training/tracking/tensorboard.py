"""Curves in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmengine.visualization import TensorboardVisBackend

from .tracker import Row, Sent, TrackedRun, Tracker, scalars_of

__all__ = ["TensorboardTracker"]


class TensorboardTracker(Tracker):
    """Event files in the folder ``tracking/tensorboard`` of the working directory.

    A resumed run adds a file, which tells TensorBoard to drop what the interrupted run wrote after
    the checkpoint.
    """

    name: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"

    def __init__(self) -> None:
        self.run: TrackedRun | None = None
        self.backend: PurgingBackend | None = None

    def open(self, run: TrackedRun) -> str:
        self.run = run  # files are created in `begin`, because they start with the iteration
        return "event files"

    def begin(self, sent: Sent, iteration: int) -> Sent:
        assert self.run is not None, "open comes first"
        last = min(sent.train, iteration)
        # a new run also replaces the settings, which are written at the step where it begins
        self.backend = PurgingBackend(str(self.run.folder / self.name), last + 1 if last else 0)
        writer = self.backend.experiment
        table = ["| key | value |", "|---|---|"]
        for key, value in self.run.short_settings().items():
            table.append(f"| {key} | {_cell(value)} |")
        writer.add_text("settings", "\n".join(table), last)
        writer.add_text("config", _code(self.run.config), last)
        writer.flush()
        return Sent(last, min(sent.val, last))

    def write(self, rows: Sequence[Row]) -> None:
        assert self.backend is not None, "begin comes first"
        for row in rows:
            self.backend.add_scalars(scalars_of(row), step=int(row["iter"]))
        self.backend.experiment.flush()

    def close(self, complete: bool) -> None:
        if self.backend is not None:
            self.backend.close()


class PurgingBackend(TensorboardVisBackend):
    """mmengine's TensorboardVisBackend, changed so that earlier points after a step are dropped.

    Args:
        save_dir: folder of the event files.
        purge_step: first step of this process.
    """

    def __init__(self, save_dir: str, purge_step: int) -> None:
        super().__init__(save_dir)
        self._purge_step = purge_step

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._tensorboard: Any = SummaryWriter(self._save_dir, purge_step=self._purge_step)


def _cell(value: str) -> str:
    """Text for a cell of a Markdown table."""
    return value.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    """Block of code in Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())

"""Recorded counts of work in a JSON file, so that a rise is seen without a clock."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.io.strict_json import parse_json

from .work import WorkCase, WorkCount
from .work_meter import Work

LIMIT = 1.1
"""Largest ratio of a count to the recorded one that is not a rise."""

COUNTS = {"flops": "FLOPs", "calls": "operator calls", "peak_bytes": "peak bytes"}
"""Field of `Work` -> its name in messages."""


@dataclass(frozen=True)
class WorkHistory:
    """Content of a file of recorded counts.

    Args:
        counts: last recorded count of each case.
        reasons: date, version of torch, cases and reason of each recording, oldest first.
    """

    counts: tuple[WorkCount, ...] = ()
    reasons: tuple[dict[str, Any], ...] = ()

    def find(self, case: WorkCase) -> WorkCount | None:
        """Recorded count of a case; None if it was not recorded."""
        return next((count for count in self.counts if count.case == case), None)

    def with_counts(self, counts: Sequence[WorkCount], reason: str) -> WorkHistory:
        """Copy in which these counts replace those of the same cases.

        Raises:
            ValueError: a blank reason.
        """
        if not reason.strip():
            raise ValueError("Expected a reason for the new counts, got a blank one. Write one")
        cases = [count.case for count in counts]
        kept = [count for count in self.counts if count.case not in cases]
        entry = {
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "torch": torch.__version__,
            "cases": [str(case) for case in cases],
            "reason": reason.strip(),
        }
        merged = sorted([*kept, *counts], key=lambda count: (count.case.by_shape, str(count.case)))
        return replace(self, counts=tuple(merged), reasons=(*self.reasons, entry))


def read_history(file: str | Path) -> WorkHistory:
    """Reads recorded counts; a file that does not exist has none.

    Raises:
        ValueError: another format.
    """
    path = Path(file)
    if not path.exists():
        return WorkHistory()
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        counts = tuple(map(_count, content["cases"]))
        return WorkHistory(counts, tuple(content["reasons"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Expected counts as `ovss benchmark work --record` writes them in {path}, got another "
            f"format ({type(error).__name__}: {error}). Name another file"
        ) from error


def write_history(history: WorkHistory, file: str | Path) -> None:
    """Writes recorded counts, whole or not at all."""
    cases = [count.as_dict() for count in history.counts]
    write_text(file, json_text({"reasons": list(history.reasons), "cases": cases}, indent=1))


def rises(now: WorkCount, before: WorkCount) -> list[str]:
    """Counts of a case that exceed the recorded ones by more than `LIMIT` allows, as sentences."""
    found = []
    for field, name in COUNTS.items():
        new, old = getattr(now.total, field), getattr(before.total, field)
        if new > LIMIT * old:
            factor, place = new / max(old, 1), _where(now, before, field)
            found.append(f"{now.case}: {name} rose from {old:,} to {new:,} ({factor:.2f} x){place}")
    return found


def changes(now: WorkCount, before: WorkCount) -> str:
    """Ratios of all three counts to the recorded ones, as a line of text."""
    parts = (
        f"{name} {getattr(now.total, field) / max(getattr(before.total, field), 1):.3f} x"
        for field, name in COUNTS.items()
    )
    return f"  against the recorded counts: {', '.join(parts)}"


def _where(now: WorkCount, before: WorkCount, field: str) -> str:
    """Stage with the largest rise of a count, in words."""
    rise = {
        name: getattr(work, field) - getattr(before.stages.get(name, Work()), field)
        for name, work in now.stages.items()
        if name != "text"
    }
    stage = max(rise, key=lambda name: rise[name])
    return f", most of it in the stage {stage}" if rise[stage] > 0 else ""


def _count(row: dict[str, Any]) -> WorkCount:
    height, width = row["size"]
    settings = {key: row[key] for key in ("method", "categories", "kept", "by_shape")}
    stages = {name: Work(**work) for name, work in row["stages"].items()}
    return WorkCount(WorkCase(**settings, size=(height, width)), stages)

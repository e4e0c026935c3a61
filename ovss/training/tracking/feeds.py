"""Trackers with the rows that they do not hold yet, and their state in a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.io.typed import has_type

from .tracker import Row, Sent, Tracker

__all__ = ["PAUSE", "Feed", "read_state", "write_state"]

PAUSE = 10.0
"""Seconds between two writes."""


@dataclass
class Feed:
    """Tracker with the rows that it does not hold yet.

    Args:
        tracker: tracker of the run.
        identity: name under which the service knows the run.
        sent: last rows that it holds.
        waiting: rows to write, in the order of the curve.
        pause: seconds between two writes; longer while the service cannot be reached.
        last: time of the last attempt.
        safe: last rows that survive a kill of this process.
        recent: time of recent writes, and the last rows then.
    """

    tracker: Tracker
    identity: str
    sent: Sent = field(default_factory=Sent)
    waiting: list[Row] = field(default_factory=list)
    pause: float = PAUSE
    last: float = 0.0
    safe: Sent = field(default_factory=Sent)
    recent: list[tuple[float, Sent]] = field(default_factory=list)

    def write(self) -> None:
        """Writes the waiting rows."""
        self.tracker.write(self.waiting)
        self.sent, self.waiting, self.pause = self.sent.after(self.waiting), [], PAUSE
        self.recent.append((time.monotonic(), self.sent))
        while self.recent and time.monotonic() - self.recent[0][0] >= self.tracker.delay:
            self.safe = self.recent.pop(0)[1]


def write_state(path: Path, feeds: Sequence[Feed]) -> None:
    """Writes the identity and the progress of trackers to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {feed.tracker.name: {"run": feed.identity, **asdict(feed.safe)} for feed in feeds}
    write_text(path, json_text(state), durable=False)


def read_state(path: Path) -> dict[str, tuple[str | None, Sent]]:
    """Identity and progress by tracker; those that cannot be read are new runs."""
    try:
        with open_regular(path) as file:
            state = parse_json(file.read())
    except (OSError, ValueError):
        return {}
    found: dict[str, tuple[str | None, Sent]] = {}
    for name, entry in state.items() if isinstance(state, dict) else ():
        if has_type(entry, dict) and has_type(entry.get("run"), str):
            numbers = [entry.get("train"), entry.get("val")]
            if all(has_type(number, int) and number >= 0 for number in numbers):
                found[name] = entry["run"], Sent(*numbers)
    return found

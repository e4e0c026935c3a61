"""The state of an evaluation on disk: parts that hold what was counted and for which pictures.

Each process of each session writes one part of its own and never another's; the sum of all parts is
what was done. A part holds counts and pictures together and is replaced as a whole, so that a kill
at any moment leaves every picture either in exactly one part or in none.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from ovss.io.advice import advised
from ovss.io.files import write_text
from ovss.io.hashing import short_hash

FORMAT = 1
_NAME = re.compile(r"session-(\d+)-rank-(\d+)\.json")
_COMPLETE = "complete"
Marks = NDArray[np.bool_]
CountState = Mapping[str, list[int]]
"""Running counts of a metric, as JSON can hold them."""


class ResumeError(ValueError):
    """A state that another evaluation left: its counts must not be mixed with this one's."""


@dataclass(frozen=True)
class Part:
    """What one process of one session has done.

    Args:
        done_N: marks of the pictures that are counted.
        counts: of each metric.
        seconds: wall clock until the part was written.
        started: UTC, ISO 8601.
    """

    done_N: Marks
    counts: Sequence[CountState]
    seconds: float
    started: str


def merge(parts: Sequence[Part], pictures: int) -> Marks:
    """Marks of all pictures that any part holds.

    Raises:
        ResumeError: two parts hold the same image, or one is of another number of images.
    """
    done_N = np.zeros(pictures, bool)
    for part in parts:
        if len(part.done_N) != pictures or (done_N & part.done_N).any():
            error = ResumeError(
                "two parts of the state hold the same image, or are of datasets of different "
                "sizes, because it was edited or mixed. Start again instead of resuming"
            )
            raise advised(error, "start_again")
        done_N |= part.done_N
    return done_N


class StateFolder:
    """The parts of one evaluation.

    Args:
        root: shared by all evaluations of a working directory.
        identity: what an evaluation is of, name -> hash (``weights``, ``protocol``, ``data``, ...);
            each has a folder of its own.
    """

    def __init__(self, root: Path, identity: Mapping[str, str]) -> None:
        self.root, self.identity = root, dict(identity)
        self.folder = root / short_hash(self.identity)

    def clear(self) -> None:
        """Forget what was done."""
        (self.folder / _COMPLETE).unlink(missing_ok=True)
        for path in self._files():
            path.unlink()

    def next_session(self) -> int:
        """A number that no part has yet."""
        return 1 + max((int(_NAME.fullmatch(p.name)[1]) for p in self._files()), default=0)  # type: ignore[index]

    def write(self, session: int, rank: int, part: Part) -> None:
        """Replace the part of this process."""
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "pictures": len(part.done_N),
            "done": base64.b64encode(np.packbits(part.done_N).tobytes()).decode(),
            "counts": list(part.counts),
            "seconds": part.seconds,
            "started": part.started,
        }
        text = json.dumps(content)
        path = self.folder / f"session-{session:04d}-rank-{rank:04d}.json"
        write_text(path, text)

    def read(self) -> list[list[Part]]:
        """Parts of each session. One that is damaged is left out: its pictures are done again.

        Raises:
            ResumeError: nothing to go on from here, but unfinished evaluations of something else.
        """
        files = self._files()
        if not files:
            self._check_others()
            print_log(f"no evaluation to go on from in {self.root}: it starts anew", "current")
        sessions: dict[str, list[Part]] = {}
        for path in files:
            part = _read_part(path, self.identity)
            if part is not None:
                sessions.setdefault(path.name.partition("-rank-")[0], []).append(part)
        return list(sessions.values())

    def mark_complete(self) -> None:
        """All pictures are counted: nobody has to be asked before others are evaluated."""
        write_text(self.folder / _COMPLETE, "")

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def _check_others(self) -> None:
        for folder in sorted(self.root.glob("*")) if self.root.is_dir() else ():
            files = sorted(folder.glob("session-*-rank-*.json")) if folder.is_dir() else []
            if not files or (folder / _COMPLETE).exists():
                continue
            other = _identity_of(files[0])
            differing = [key for key, value in self.identity.items() if other.get(key) != value]
            hashes = "; ".join(
                f"{key} {str(other.get(key))[:12]} there, {self.identity[key][:12]} here"
                for key in differing
            )
            error = ResumeError(
                f"the unfinished evaluation in {folder} is of other {', '.join(differing)} "
                f"({hashes}): its counts cannot be added to these. Give what it was started with, "
                f"or start another instead of resuming"
            )
            raise advised(error, "start_again", "keep_apart")


def _identity_of(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text())["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_part(path: Path, identity: Mapping[str, str]) -> Part | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if content["format"] != FORMAT or content["identity"] != identity:
            raise ValueError("of another format or evaluation")
        packed = np.frombuffer(base64.b64decode(content["done"], validate=True), np.uint8)
        done_N = np.unpackbits(packed, count=content["pictures"]).astype(bool)
        return Part(done_N, content["counts"], float(content["seconds"]), content["started"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        print_log(
            f"{path} cannot be read ({error}): its pictures are evaluated again", "current", 30
        )
        return None

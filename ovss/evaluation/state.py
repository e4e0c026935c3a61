"""State of an evaluation on disk: parts that hold counts and the images they cover.

Each rank of each session writes one part of its own, and the sum of all parts is what was done. A
part holds counts and images together and is replaced as a whole, so an interruption at any moment
leaves every image either in exactly one part or in none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ovss.io.advice import advised
from ovss.io.files import write_text
from ovss.io.hashing import content_hash, short_hash
from ovss.io.locks import FileLock
from ovss.io.strict_json import parse_json

from .parts import FORMAT, CountState, Marks, SessionCounts, packed_marks, read_part

_NAME = re.compile(r"session-(\d+)-rank-(\d+)\.json")
_COMPLETE = "complete"


class ResumeError(ValueError):
    """The state on disk belongs to another evaluation, so the counts must not be added up."""


def merge(parts: Sequence[SessionCounts], length: int) -> Marks:
    """Marks of all images that the parts hold.

    Args:
        parts: parts of one evaluation.
        length: number of images in the dataset.

    Raises:
        ResumeError: two parts hold the same image, or a part has a different number of images.
    """
    done_N = np.zeros(length, bool)
    for part in parts:
        if len(part.done_N) != length or (done_N & part.done_N).any():
            error = ResumeError(
                "Every image may be in one part of the state only, but two parts hold the same "
                "image or belong to datasets of different sizes, because the state was edited or "
                "mixed. Start again instead of resuming"
            )
            raise advised(error, "start_again")
        done_N |= part.done_N
    return done_N


class StateFolder:
    """Folder with the parts of one evaluation.

    Args:
        root: folder shared by all evaluations in a working directory.
        identity: hash by name (``weights``, ``protocol``, ``data``, ...) of everything that the
            counts depend on. Each identity has its own folder.
    """

    def __init__(self, root: Path, identity: Mapping[str, str]) -> None:
        self.root, self.identity = root, dict(identity)
        self.folder = root / short_hash(self.identity)

    def lock(self) -> FileLock:
        """Locks the folder for this process, because two would mix up their sessions.

        Raises:
            BlockingIOError: another process evaluates the same.
            OSError: the folder cannot be written.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        place = self.root / f".{self.folder.name}.lock"
        return FileLock(place, "evaluation", self.folder, again=True)

    def clear(self) -> None:
        """Deletes the parts of earlier sessions."""
        (self.folder / _COMPLETE).unlink(missing_ok=True)
        for path in self._files():
            path.unlink()

    def next_session(self) -> int:
        """Lowest session number above those in use."""
        return 1 + max((int(_NAME.fullmatch(p.name)[1]) for p in self._files()), default=0)  # type: ignore[index]

    def write(self, session: int, rank: int, part: SessionCounts) -> None:
        """Writes or replaces the part of a rank."""
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "pictures": len(part.done_N),
            "done": packed_marks(part.done_N),
            "counts": list(part.counts),
            "seconds": part.seconds,
            "started": part.started,
        }
        text = json.dumps({**content, "check": content_hash(content)}, allow_nan=False)
        path = self.folder / f"session-{session:04d}-rank-{rank:04d}.json"
        write_text(path, text)

    def read(
        self, length: int, empty: Sequence[CountState] | None = None
    ) -> list[list[SessionCounts]]:
        """Parts of each session, without damaged ones, whose images are evaluated again.

        Args:
            length: number of images in the dataset.
            empty: counts of each metric before the first image, to which those of the parts have
                to fit; None: any counts.

        Raises:
            ResumeError: this evaluation has no state, but `root` holds unfinished evaluations with
                another identity.
        """
        files = self._files()
        if not files:
            self._check_others()
            print_log(
                f"No state to resume found in {self.root}, so the run starts from the first image",
                "current",
            )
        sessions: dict[str, list[SessionCounts]] = {}
        for path in files:
            part = read_part(path, self.identity, length, empty)
            if part is not None:
                sessions.setdefault(path.name.partition("-rank-")[0], []).append(part)
        return list(sessions.values())

    def mark_complete(self) -> None:
        """Marks the evaluation as complete, so it no longer blocks resuming other evaluations."""
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
                f"The unfinished evaluation in {folder} used other {', '.join(differing)} "
                f"({hashes}), so its counts cannot be continued. Resume with the values it was "
                f"started with, or start another instead of resuming"
            )
            raise advised(error, "start_again", "keep_apart")


def _identity_of(path: Path) -> dict[str, str]:
    try:
        identity = parse_json(path.read_bytes())["identity"]
        return {str(key): str(value) for key, value in identity.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}

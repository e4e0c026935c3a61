"""Files of cells: one for each, written as a whole or not at all."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.io.strict_json import parse_json

from .cells import CellJob

__all__ = ["CellStore", "changed_keys"]

_SHORT = 30  # characters; hashes are longer
_KEYS = {"key", "job", "identity", "measured", "seconds", "content"}


class CellStore:
    """Folder with the cells of a report.

    Args:
        folder: folder of the files, created when the first cell is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """File of the cell with this hash."""
        return self.folder / f"{key[:32]}.json"

    def read(self, key: str) -> dict[str, Any] | None:
        """Content of a cell; None if it has no file, or if the file is damaged."""
        found = _record(self.path(key))
        content = found["content"] if found is not None and found["key"] == key else None
        return content if isinstance(content, dict) else None

    def changes(self, job: CellJob, identity: dict[str, Any]) -> str:
        """What differs from the most similar cell of the same job; empty if there is none.

        Args:
            job: job of a cell that is to be measured.
            identity: everything that enters it.
        """
        about = _plain(_about(job))
        records = [_record(path) for path in sorted(self.folder.glob("*.json"))]
        earlier = [each["identity"] for each in records if each and each["job"] == about]
        differences = [changed_keys(each, _plain(identity)) for each in earlier]
        fewest = min(map(len, differences), default=0)
        return ", ".join(next((each for each in differences if len(each) == fewest), []))

    def write(
        self,
        key: str,
        job: CellJob,
        identity: dict[str, Any],
        content: dict[str, Any],
        seconds: float,
    ) -> None:
        """Writes a cell; `seconds` is the time that it took.

        Raises:
            OSError: the folder cannot be written.
        """
        record = {
            "key": key,
            "job": _about(job),
            "identity": identity,
            "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
            "content": content,
        }
        write_text(self.path(key), json_text(record, indent=None))


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys whose values differ, with the values where they are short.

    >>> changed_keys({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4, "d": 3}})
    ['b.c (was 2, is 4)']
    >>> changed_keys({"model": {"type": "A"}, "code": "3f" * 32}, {"model": {}, "code": "e1" * 32})
    ['code', 'model.type (was A, is None)']
    """
    changed = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            changed += [f"{key}.{each}" for each in changed_keys(before, now)]
        elif max(len(str(before)), len(str(now))) <= _SHORT:
            changed.append(f"{key} (was {before}, is {now})")
        else:
            changed.append(key)
    return changed


def _record(path: Path) -> dict[str, Any] | None:
    """Content of a file; None if it is missing or damaged."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() == _KEYS else None


def _about(job: CellJob) -> dict[str, Any]:
    return {**asdict(job), "names": len(job.names)}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """The values as a file holds them: lists in place of tuples."""
    plain = parse_json(json_text(value, indent=None).encode())
    assert isinstance(plain, dict)
    return plain

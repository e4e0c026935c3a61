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

__all__ = ["CellStore"]

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
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            found = parse_json(path.read_bytes())
        except (OSError, ValueError):
            return None
        is_whole = isinstance(found, dict) and found.keys() == _KEYS and found["key"] == key
        content = found["content"] if is_whole else None
        return content if isinstance(content, dict) else None

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
        about = {**asdict(job), "names": len(job.names)}
        record = {
            "key": key,
            "job": about,
            "identity": identity,
            "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
            "content": content,
        }
        write_text(self.path(key), json_text(record, indent=None))

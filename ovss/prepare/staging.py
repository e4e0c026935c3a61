"""Staging folder of a dataset under preparation, with a manifest of the finished items."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ovss.io.advice import advised
from ovss.io.files import delete_tree, write_text
from ovss.io.locks import FileLock
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.io.typed import wrong_fields

from .recipe import Item, Recipe
from .work import source_fingerprint

__all__ = ["LOCK", "MANIFEST", "Staging"]

MANIFEST = "manifest.jsonl"
LOCK = ".lock"
USER = "`ovss prepare`"

_RECORD: dict[str, Any] = {
    "split": str,
    "key": str,
    "from": list,
    "size": list[int],
    "counts": dict[str, int],
    "sha256": str,
    "dropped": bool,
    "image": str,
    "bytes": int,
}
"""Fields of a line of the manifest; a line without them is dropped, and its item made again."""


class Staging:
    """Folder ``DIR.partial`` with images, label maps and a manifest.

    The manifest has one line for each finished item, written after the item's files. A line that
    was cut off by a kill is dropped, and its item is converted again. The same happens to an item
    whose files are missing or whose source has changed.

    Args:
        folder: staging folder, created or continued.
        header: options that determine the content, written to the first line of the manifest.
        restart: discards a staging folder that has another header.

    Raises:
        FileExistsError: the folder has another header, or is not a staging folder.
        BlockingIOError: another process is using the folder.
    """

    def __init__(self, folder: Path, header: dict[str, Any], restart: bool = False) -> None:
        self.folder = folder
        manifest = folder / MANIFEST
        if folder.is_symlink():
            raise FileExistsError(
                f"expected a folder for unfinished work, found the symbolic link {folder}. Remove "
                f"the link, or choose another output folder"
            )
        if folder.exists() and any(folder.iterdir()):
            difference = _difference(folder, manifest, header)
            if difference and (not restart or not manifest.is_file()):
                error = FileExistsError(
                    f"{folder} was left by a different run ({difference}). Finish that run, or "
                    f"remove the folder"
                )
                raise advised(error, "force")
            if difference:
                with FileLock(folder / LOCK, USER):
                    delete_tree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / LOCK, USER)
        _refuse_links(folder)
        self.lines: dict[str, str] = {}
        for line in _whole_lines(manifest)[1:]:
            record = _parse(line)
            if record is not None:
                self.lines[f"{record['split']}/{record['key']}"] = line
        for leftover in _files_below(folder):
            if leftover.name.startswith(".") and leftover.name.endswith(".tmp"):
                leftover.unlink()
        lines = [json.dumps(header, allow_nan=False), *self.lines.values()]
        write_text(manifest, "".join(f"{line}\n" for line in lines))
        self.file: IO[str] = open_regular(manifest, "a")

    def is_done(self, item: Item, recipe: Recipe) -> bool:
        """Checks whether an item is finished and its files are unchanged."""
        line = self.lines.get(item.name)
        if line is None:
            return False
        record = json.loads(line)
        if record["from"] != source_fingerprint(item):
            return False
        if record["dropped"]:
            return True
        image, mask = _files(self.folder, record, recipe)
        try:
            return mask.stat().st_size == record["bytes"] and image.stat().st_size > 0
        except OSError:
            return False

    def add(self, record: dict[str, Any]) -> None:
        """Records a finished item in the manifest."""
        line = json.dumps(record, allow_nan=False)
        self.lines[f"{record['split']}/{record['key']}"] = line
        self.file.write(line + "\n")
        self.file.flush()

    def records(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the records of the finished items of a split, sorted by key."""
        for name in sorted(name for name in self.lines if name.startswith(f"{split}/")):
            yield json.loads(self.lines[name])

    def keep_only(self, items: list[Item], recipe: Recipe) -> None:
        """Removes the files and records of all other items, since the source may have shrunk."""
        wanted = {item.name for item in items}
        self.lines = {name: line for name, line in self.lines.items() if name in wanted}
        files: set[Path] = set()
        for line in self.lines.values():
            record = json.loads(line)
            if not record["dropped"]:
                files.update(_files(self.folder, record, recipe))
        for kind in ("images", "masks"):
            for path in _files_below(self.folder / kind):
                if path not in files:
                    path.unlink()

    def close(self) -> None:
        """Closes the manifest and releases the lock."""
        self.file.close()
        self.lock.release()


def _files(folder: Path, record: dict[str, Any], recipe: Recipe) -> tuple[Path, Path]:
    image = folder / "images" / record["split"] / record["image"]
    return image, folder / "masks" / record["split"] / f"{record['key']}{recipe.mask_suffix}"


def _whole_lines(manifest: Path) -> list[str]:
    if not manifest.is_file():
        return []
    with open_regular(manifest, "r", errors="replace") as file:
        return file.read().splitlines()


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    is_whole = isinstance(record, dict) and not wrong_fields(record, _RECORD)
    return record if is_whole and len(record["size"]) == 2 else None


def _difference(folder: Path, manifest: Path, header: dict[str, Any]) -> str:
    """Difference between an existing staging folder and the requested one, or an empty string."""
    lines = _whole_lines(manifest)
    if not lines:
        strays = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        return f"it contains {strays[0]} and no manifest" if strays else ""
    try:
        previous = parse_json(lines[0])
    except ValueError:
        previous = None
    if not isinstance(previous, dict):
        return "its manifest cannot be read"
    return "; ".join(
        f"{key} was {previous.get(key)!r} and is now {value!r}"
        for key, value in header.items()
        if previous.get(key) != value
    )


def _refuse_links(folder: Path) -> None:
    """Refuses links in place of the folders that files are written into and deleted from."""
    for kind in ("images", "masks"):
        for place in (folder / kind, *sorted((folder / kind).glob("*"))):
            if place.is_symlink() and place.is_dir():
                raise FileExistsError(
                    f"expected a folder, found the symbolic link {place}. Remove the link"
                )


def _files_below(folder: Path) -> list[Path]:
    """Everything below a folder except folders, in order; links to folders are not followed."""
    return sorted(
        Path(place) / name
        for place, folders, files in os.walk(folder)
        for name in (*files, *(n for n in folders if os.path.islink(os.path.join(place, n))))
    )

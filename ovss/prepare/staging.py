"""Staging folder of a dataset under preparation, with a manifest of the finished items."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ovss.io.advice import advised
from ovss.io.files import write_text

from .recipe import Item, Recipe
from .work import source_fingerprint

__all__ = ["MANIFEST", "Staging"]

MANIFEST = "manifest.jsonl"
_LOCK = ".lock"


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
        if folder.exists() and any(folder.iterdir()):
            difference = _difference(folder, manifest, header)
            if difference and (not restart or not manifest.is_file()):
                error = FileExistsError(
                    f"{folder} was left by a different run ({difference}). Finish that run, or "
                    f"remove the folder"
                )
                raise advised(error, "force")
            if difference:
                with _lock_folder(folder):
                    pass  # raises if another process is using the folder
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = _lock_folder(folder)
        self.lines: dict[str, str] = {}
        for line in _whole_lines(manifest)[1:]:
            record = _parse(line)
            if record is not None:
                self.lines[f"{record['split']}/{record['key']}"] = line
        for leftover in folder.rglob(".*.tmp"):
            leftover.unlink()
        lines = [json.dumps(header), *self.lines.values()]
        write_text(manifest, "".join(f"{line}\n" for line in lines))
        self.file: IO[str] = manifest.open("a", encoding="utf-8")

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
        line = json.dumps(record)
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
            for path in sorted((self.folder / kind).rglob("*")):
                if not path.is_dir() and path not in files:
                    path.unlink()

    def close(self) -> None:
        """Closes the manifest and releases the lock."""
        self.file.close()
        self.lock.close()


def _files(folder: Path, record: dict[str, Any], recipe: Recipe) -> tuple[Path, Path]:
    image = folder / "images" / record["split"] / record["image"]
    return image, folder / "masks" / record["split"] / f"{record['key']}{recipe.mask_suffix}"


def _whole_lines(manifest: Path) -> list[str]:
    if not manifest.is_file():
        return []
    return manifest.read_text("utf-8", "replace").splitlines()


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "sha256" in record else None


def _difference(folder: Path, manifest: Path, header: dict[str, Any]) -> str:
    """Difference between an existing staging folder and the requested one, or an empty string."""
    lines = _whole_lines(manifest)
    if not lines:
        strays = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        return f"it contains {strays[0]} and no manifest" if strays else ""
    try:
        previous = json.loads(lines[0])
    except ValueError:
        return "its manifest cannot be read"
    return "; ".join(
        f"{key} was {previous.get(key)!r} and is now {value!r}"
        for key, value in header.items()
        if previous.get(key) != value
    )


def _lock_folder(folder: Path) -> IO[str]:
    """Lock file of a folder, held until it is closed or the process ends.

    Where locks are not available, the returned file is already closed.
    """
    file = (folder / _LOCK).open("w")
    try:
        import fcntl
    except ImportError:  # Windows, where an open file would also prevent renaming the folder
        file.close()
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BlockingIOError(
            f"another `ovss prepare` is using {folder}. Wait for it or stop it."
        ) from None
    file.write(str(os.getpid()))
    file.flush()
    return file

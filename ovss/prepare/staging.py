"""The folder in which a data set grows until it is whole, and the list of what is done in it."""

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
from .work import fingerprint

__all__ = ["MANIFEST", "Staging"]

MANIFEST = "manifest.jsonl"
_LOCK = ".lock"


class Staging:
    """``DIR.partial``: pictures, masks, and one line in the manifest for each finished item.

    A line is written after its files are; a line cut short by a kill is dropped, and its item is
    made again. So is an item whose files are gone or whose source has changed.

    Args:
        folder: the staging folder; made, or taken up where it was left.
        header: what it is made of; the first line of the manifest.
        restart: throw away what another header left.

    Raises:
        FileExistsError: it was begun with another header, or is no staging folder.
        BlockingIOError: another process is working in it.
    """

    def __init__(self, folder: Path, header: dict[str, Any], restart: bool = False) -> None:
        self.folder = folder
        manifest = folder / MANIFEST
        if folder.exists() and any(folder.iterdir()):
            difference = _difference(folder, manifest, header)
            if difference and (not restart or not manifest.is_file()):
                error = FileExistsError(
                    f"{folder} was left by another run ({difference}). Finish that one, or remove "
                    f"the folder"
                )
                raise advised(error, "force")
            if difference:
                with _locked(folder):
                    pass  # nobody works in it
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = _locked(folder)
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
        """Whether an earlier run finished this item, and its files are still what they were."""
        line = self.lines.get(item.name)
        if line is None:
            return False
        record = json.loads(line)
        if record["from"] != fingerprint(item):
            return False
        if record["dropped"]:
            return True
        image, mask = _files(self.folder, record, recipe)
        try:
            return mask.stat().st_size == record["bytes"] and image.stat().st_size > 0
        except OSError:
            return False

    def add(self, record: dict[str, Any]) -> None:
        """Note that an item is done."""
        line = json.dumps(record)
        self.lines[f"{record['split']}/{record['key']}"] = line
        self.file.write(line + "\n")
        self.file.flush()

    def records(self, split: str) -> Iterator[dict[str, Any]]:
        """What is done of a split, sorted by key."""
        for name in sorted(name for name in self.lines if name.startswith(f"{split}/")):
            yield json.loads(self.lines[name])

    def keep_only(self, items: list[Item], recipe: Recipe) -> None:
        """Remove the files and lines of everything else: the source may have shrunk since."""
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
    """In what a folder that is there differs from the one wanted; empty: in nothing."""
    lines = _whole_lines(manifest)
    if not lines:
        strange = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        return f"it holds {strange[0]} and no manifest" if strange else ""
    try:
        before = json.loads(lines[0])
    except ValueError:
        return "its manifest cannot be read"
    return "; ".join(
        f"{key} was {before.get(key)!r}, is {value!r}"
        for key, value in header.items()
        if before.get(key) != value
    )


def _locked(folder: Path) -> IO[str]:
    """The lock file, held until it is closed or the process ends; closed where none can be held."""
    file = (folder / _LOCK).open("w")
    try:
        import fcntl
    except ImportError:  # not on Windows, where an open file would also forbid the renaming
        file.close()
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BlockingIOError(
            f"another `ovss prepare` is working in {folder}; wait for it or end it"
        ) from None
    file.write(str(os.getpid()))
    file.flush()
    return file

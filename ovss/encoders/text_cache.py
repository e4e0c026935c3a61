"""Text embeddings kept: in memory for the next image, on disk for the next run.

An entry is found by the content of everything that made it, so an entry can be unused but never
stale. Processes may share the folder: files appear whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.io.files import write_atomic

__all__ = ["TextCache", "cache_folder", "cache_key"]

FORMAT = 1  # raise it when the meaning of a file or the way embeddings are made changes
MEMORY_BYTES = 512 * 2**20
DISK_BYTES = 2 * 2**30
_warned: set[Path] = set()


def cache_folder() -> Path | None:
    """Where embeddings are kept on disk.

    The environment variable ``OVSS_CACHE_DIR``, or ``ovss`` in the user's cache folder. None, that
    is no disk, if the variable is ``off`` or empty.
    """
    chosen = os.environ.get("OVSS_CACHE_DIR")
    if chosen is not None:
        return None if chosen.strip().lower() in ("", "off") else Path(chosen).expanduser() / "text"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ovss" / "text"


def cache_key(**made_of: Any) -> str:
    """Digest of everything that an entry depends on; values must be JSON."""
    content = json.dumps({"format": FORMAT, **made_of}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class TextCache:
    """Embeddings by key.

    Args:
        disk: whether to use `cache_folder` as well as memory.
    """

    def __init__(self, disk: bool = True) -> None:
        self.disk = disk
        self._memory: OrderedDict[tuple[str, str], tuple[Tensor, int]] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> TextCache:
        return TextCache(self.disk)

    def get_or_make(self, key: str, device: torch.device, make: Callable[[], Tensor]) -> Tensor:
        """The embeddings (T, P, C) of `key`: remembered, read, or made and kept."""
        found = self._remembered(key, device)
        if found is not None:
            return found
        folder = cache_folder() if self.disk else None
        embeds_TPC = _read(folder, key) if folder else None
        if embeds_TPC is None:
            embeds_TPC = make()
            if folder:
                _write(folder, key, embeds_TPC)
        embeds_TPC = embeds_TPC.to(device)
        self._remember(key, device, embeds_TPC)
        return embeds_TPC

    def _remembered(self, key: str, device: torch.device) -> Tensor | None:
        entry = self._memory.pop((key, str(device)), None)
        if entry is None or entry[0]._version != entry[1]:
            return None  # absent, or someone wrote into it
        self._memory[key, str(device)] = entry
        return entry[0]

    def _remember(self, key: str, device: torch.device, embeds_TPC: Tensor) -> None:
        self._memory[key, str(device)] = (embeds_TPC, embeds_TPC._version)
        while len(self._memory) > 1 and self._bytes() > MEMORY_BYTES:
            self._memory.popitem(last=False)

    def _bytes(self) -> int:
        return sum(embeds.nbytes for embeds, _ in self._memory.values())


def _digest(embeds_TPC: Tensor) -> str:
    return hashlib.sha256(embeds_TPC.cpu().contiguous().numpy().data).hexdigest()


def _read(folder: Path, key: str) -> Tensor | None:
    """An entry from disk; None if there is none. A file that is not what it says is dropped."""
    from safetensors.torch import load

    path = folder / f"{key}.safetensors"
    try:
        content = path.read_bytes()  # opened once: another process may drop the file at any time
        known = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        embeds_TPC = load(content)["embeds_TPC"]
        if known.get("key") != key or known.get("sha256") != _digest(embeds_TPC):
            raise ValueError("its content is not what was written")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # the reader raises many kinds for a bad file
        warnings.warn(
            f"the cached text embeddings {path} are corrupt ({error}): they are made again",
            stacklevel=2,
        )
        return None
    with contextlib.suppress(OSError):  # a folder that can be read only
        os.utime(path)
    return embeds_TPC


def _write(folder: Path, key: str, embeds_TPC: Tensor) -> None:
    from safetensors.torch import save

    content = embeds_TPC.detach().cpu().contiguous()
    metadata = {"key": key, "sha256": _digest(content)}
    file_bytes = save({"embeds_TPC": content}, metadata)
    try:
        write_atomic(folder / f"{key}.safetensors", lambda file: file.write(file_bytes))
        _prune(folder)
    except OSError as error:
        if folder not in _warned:
            _warned.add(folder)
            warnings.warn(
                f"text embeddings cannot be kept in {folder} ({error}): they are made again in "
                f"every run. Set OVSS_CACHE_DIR to a folder that can be written, or to 'off'",
                stacklevel=2,
            )


def _prune(folder: Path) -> None:
    """Drop the entries longest unused until the folder is below `DISK_BYTES`."""
    entries = []
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # another process dropped it
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries)[:-1]:
        if total <= DISK_BYTES:
            return
        total -= size
        path.unlink(missing_ok=True)

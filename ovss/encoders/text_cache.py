"""Cache of text embeddings: in memory for the next image, on disk for the next run.

The key of an entry is a digest of everything that the embeddings depend on, so an entry can become
unused but never outdated. Several processes can share the folder because files are renamed into
place once they are complete.
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

FORMAT = 1  # increase it when the file format or the computation of embeddings changes
MEMORY_BYTES = 512 * 2**20
DISK_BYTES = 2 * 2**30
_warned: set[Path] = set()


def cache_folder() -> Path | None:
    """Folder for embeddings on disk: ``text`` in ``OVSS_CACHE_DIR`` or in the user's cache folder.

    None if the environment variable ``OVSS_CACHE_DIR`` is ``off`` or empty, which disables the
    disk cache.
    """
    setting = os.environ.get("OVSS_CACHE_DIR")
    if setting is not None:
        is_off = setting.strip().lower() in ("", "off")
        return None if is_off else Path(os.path.expanduser(setting), "text")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base), "ovss", "text")


def cache_key(**inputs: Any) -> str:
    """Digest of everything that an entry depends on. Values must be JSON-serialisable."""
    content = json.dumps({"format": FORMAT, **inputs}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class TextCache:
    """Text embeddings by key.

    Args:
        disk: True to use `cache_folder` in addition to memory.
    """

    def __init__(self, disk: bool = True) -> None:
        self.disk = disk
        self._memory: OrderedDict[tuple[str, str], tuple[Tensor, int]] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> TextCache:
        return TextCache(self.disk)

    def get_or_make(
        self, key: str, device: torch.device, make: Callable[[], Tensor], in_memory: bool = True
    ) -> Tensor:
        """Embeddings (T, P, C) from memory, from disk, or computed by `make` and then stored.

        Args:
            key: see `cache_key`.
            device: device of the embeddings.
            make: function that computes them.
            in_memory: False to store them on disk only.
        """
        remembered = self._remembered(key, device)
        if remembered is not None:
            return remembered
        folder = cache_folder() if self.disk else None
        embeds_TPC = _read(folder, key) if folder else None
        if embeds_TPC is None:
            embeds_TPC = make()
            if folder:
                _write(folder, key, embeds_TPC)
        embeds_TPC = embeds_TPC.to(device)
        if in_memory:
            self._remember(key, device, embeds_TPC)
        return embeds_TPC

    def _remembered(self, key: str, device: torch.device) -> Tensor | None:
        entry = self._memory.pop((key, str(device)), None)
        if entry is None or entry[0]._version != entry[1]:
            return None  # missing, or modified in place since it was stored
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
    """Reads an entry from disk; None if it is missing or corrupt."""
    from safetensors.torch import load

    path = folder / f"{key}.safetensors"
    try:
        content = path.read_bytes()  # one read, because another process may delete the file
        # A safetensors file starts with the length of its JSON header.
        known = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        embeds_TPC = load(content)["embeds_TPC"]
        if known.get("key") != key or known.get("sha256") != _digest(embeds_TPC):
            raise ValueError("its checksum does not match")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # the reader raises many kinds for a bad file
        warnings.warn(
            f"The cached text embeddings {path} are corrupt ({error}) and will be computed again.",
            stacklevel=2,
        )
        return None
    with contextlib.suppress(OSError):  # a read-only folder
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
                f"Text embeddings cannot be cached in {folder} ({error}), so every run computes "
                f"them again. Set OVSS_CACHE_DIR to a writable folder, or to 'off'.",
                stacklevel=2,
            )


def _prune(folder: Path) -> None:
    """Deletes the least recently used entries until the folder is below `DISK_BYTES`."""
    entries = []
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # deleted by another process
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries)[:-1]:
        if total <= DISK_BYTES:
            return
        total -= size
        path.unlink(missing_ok=True)

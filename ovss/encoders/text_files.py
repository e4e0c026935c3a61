"""Files of text embeddings: safetensors files that are checked once and mapped into memory.

A file holds the embeddings of some names and their means over the templates. Its digest covers the
names and all bytes. Reading parses a JSON header and maps numbers, so that no code in a file runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ovss.io.files import write_atomic
from ovss.io.safetensors_writer import write_safetensors

__all__ = ["TextPart", "prune", "read_names", "read_text_file", "write_text_file"]

BLOCK = 1 << 20
"""Bytes that are read at a time to compute a digest."""


@dataclass(frozen=True)
class TextPart:
    """Embeddings of some names.

    Args:
        keys: the names, see `TextCache`.
        embeds_NPC: float32 embeddings.
        mean_NC: their means over the templates.
    """

    keys: tuple[str, ...]
    embeds_NPC: Tensor
    mean_NC: Tensor


def write_text_file(folder: Path, space: str, keys: Sequence[str], embeds_NPC: Tensor) -> Path:
    """Writes the embeddings of some names atomically.

    Args:
        folder: folder of the file, created if missing.
        space: digest of all that the embeddings depend on besides the names.
        keys: the names.
        embeds_NPC: float32 embeddings.

    Raises:
        OSError: the file cannot be written.
    """
    names = json.dumps(list(keys))
    embeds_NPC = embeds_NPC.detach().cpu().contiguous()
    mean_NC = embeds_NPC.mean(1, dtype=torch.float32)
    digest = hashlib.sha256(_start(space, names))
    for tensor in (embeds_NPC, mean_NC):  # in the order of the file
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    known = {"space": space, "keys": names, "sha256": digest.hexdigest()}

    def write(file: IO[bytes]) -> None:
        write_safetensors(file, {"embeds_NPC": embeds_NPC, "mean_NC": mean_NC}, known)

    path = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.safetensors"
    write_atomic(path, write, durable=False)
    return path


def read_names(path: Path) -> tuple[str, ...]:
    """Names in a file, from its header alone, which is not checked.

    Args:
        path: file of `write_text_file`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is damaged.
    """
    with open(path, "rb") as file:
        return tuple(json.loads(_read_header(file)[0]["__metadata__"]["keys"]))


def read_text_file(path: Path, space: str) -> TextPart:
    """Checks a file and maps it into memory.

    Args:
        path: file of `write_text_file`.
        space: expected digest.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is damaged, or belongs to other embeddings.
    """
    with open(path, "rb") as file:
        header, first, size = _read_header(file)
        known = header["__metadata__"]
        digest = hashlib.sha256(_start(space, known["keys"]))
        while block := file.read(BLOCK):
            digest.update(block)
        # a private mapping: pages are read when they are used and need no memory of their own. It
        # is of the open file, as another process may delete or replace what the path names.
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    if digest.hexdigest() != known["sha256"]:
        raise ValueError("its checksum does not match")
    keys, (count, prompts, channels) = json.loads(known["keys"]), header["embeds_NPC"]["shape"]
    numbers = count * prompts * channels
    if len(keys) != count or size != first + 4 * (numbers + count * channels):
        raise ValueError("its size does not match")
    flat = torch.frombuffer(mapped, dtype=torch.float32)
    embeds, means = flat[first // 4 :].split([numbers, count * channels])
    with contextlib.suppress(OSError):  # a read-only folder
        os.utime(path)
    mean_NC = means.view(count, channels).clone()
    return TextPart(tuple(keys), embeds.view(count, prompts, channels), mean_NC)


def _read_header(file: IO[bytes]) -> tuple[dict[str, Any], int, int]:
    """Header, place of the first number, and size of a file."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= size - 8 or size % 4 or length % 8:
        raise ValueError("it is cut off")
    return json.loads(file.read(length)), 8 + length, size


def prune(root: Path, limit: int) -> None:
    """Deletes the least recently used files until those in a folder need at most `limit` bytes."""
    entries = []
    for path in root.rglob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # deleted by another process
            entries.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries)[:-1]:
        if total <= limit:
            return
        total -= size
        with contextlib.suppress(OSError):  # deleted already, or in use on Windows
            path.unlink()
        if path.parent != root:
            with contextlib.suppress(OSError):  # other files are left
                path.parent.rmdir()


def _start(space: str, names: str) -> bytes:
    return f"{space}\n{names}\n".encode()

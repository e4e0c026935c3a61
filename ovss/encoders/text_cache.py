"""Cache of text embeddings by name: in memory for the next image, on disk for the next run.

A name is looked up in a space, a digest of everything else that its embeddings depend on, so an
entry can become unused but never outdated. One more name in a vocabulary encodes one name. Several
processes can share the folder because files are renamed into place once they are complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.io.cache_folders import cache_dir
from ovss.io.stored_rows import StoredRows
from ovss.structures import TextFeatures

from .text_files import TextPart, read_text_file
from .text_space import TextSpace, is_mapped, open_files, store_part

__all__ = ["TextCache", "cache_folder", "cache_key", "held_bytes"]

FORMAT = 2  # increase it when the file format or the computation of embeddings changes
MEMORY_BYTES = 512 * 2**20
DISK_BYTES = 4 * 2**30
SPACES = 8  # spaces whose parts stay open

Make = Callable[[list[int]], Iterator[tuple[list[int], Tensor]]]


def cache_folder() -> Path | None:
    """Folder for embeddings on disk: ``text`` in ``OVSS_CACHE_DIR`` or in the user's cache folder.

    None if the environment variable ``OVSS_CACHE_DIR`` is ``off`` or empty, which disables the
    disk cache.
    """
    return cache_dir("text")


def cache_key(**inputs: Any) -> str:
    """Digest of everything that embeddings depend on. Values must be JSON-serialisable."""
    content = json.dumps({"format": FORMAT, **inputs}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def held_bytes(device: torch.device) -> int:
    """Size from which the embeddings of a vocabulary are read on demand.

    It is larger on a GPU, which waits for every row that it reads from elsewhere.
    """
    return 64 * 2**20 if device.type == "cpu" else MEMORY_BYTES


class TextCache:
    """Text embeddings by name.

    Args:
        disk: True to use `cache_folder` in addition to memory.
    """

    def __init__(self, disk: bool = True) -> None:
        self.disk = disk
        self._texts: OrderedDict[Hashable, tuple[TextFeatures, int]] = OrderedDict()
        self._spaces: OrderedDict[str, TextSpace] = OrderedDict()

    def __reduce__(self) -> tuple[type[TextCache], tuple[bool]]:
        return TextCache, (self.disk,)  # copies of a model start with an empty memory

    def recall(self, key: Hashable) -> TextFeatures | None:
        """Text features that were stored in memory; None if missing or modified in place."""
        entry = self._texts.pop(key, None)
        if entry is None or _version(entry[0]) != entry[1]:
            return None
        self._texts[key] = entry
        return entry[0]

    def remember(self, key: Hashable, text: TextFeatures) -> TextFeatures:
        """Stores text features in memory and returns them."""
        self._texts[key] = (text, _version(text))
        while len(self._texts) > 1 and self._text_bytes() > MEMORY_BYTES:
            self._texts.popitem(last=False)
        return text

    def collect(
        self, space: str, keys: Sequence[str], device: torch.device, make: Make
    ) -> Tensor | StoredRows:
        """Embeddings (T, P, C) from memory, from disk, or computed by `make` and then stored.

        Args:
            space: see `cache_key`.
            keys: T names; equal ones are computed once.
            device: device of the embeddings.
            make: function that computes the embeddings of the names with the given indices, and
                yields them part by part, so that an interrupted run keeps the finished parts.

        Returns:
            A tensor; or rows that are read on demand, if it would have more than `held_bytes`.
        """
        known = self._space(space)
        folder = cache_folder() if self.disk else None
        if folder and any(key not in known.places for key in keys):
            open_files(folder / space[:32], space, keys, known)
        missing = {key: i for i, key in reversed([*enumerate(keys)]) if key not in known.places}
        if missing:
            made = make(sorted(missing.values()))
            for indices, embeds_NPC in made if folder else _together(made):
                self._store(folder, space, [keys[i] for i in indices], embeds_NPC)
        found = known.places
        place_T2 = torch.tensor([found[key] for key in keys], dtype=torch.long, device="cpu")
        return _assembled(known.parts, place_T2, device)

    def _store(
        self, folder: Path | None, space: str, keys: Sequence[str], embeds_NPC: Tensor
    ) -> None:
        mean_NC, path = embeds_NPC.mean(1, dtype=torch.float32), None
        part = TextPart(tuple(keys), embeds_NPC, mean_NC)
        if folder:
            path = store_part(folder, space, part, DISK_BYTES)
            with contextlib.suppress(OSError, ValueError):  # deleted or replaced by another process
                part = read_text_file(path, space) if path else part
        known = self._spaces[space]
        known.add(part)
        known.files |= {path} if path else set()

    def _space(self, space: str) -> TextSpace:
        """Parts of a space; those of the least recently used spaces are closed."""
        self._spaces.setdefault(space, TextSpace()).forget_changed()
        self._spaces.move_to_end(space)
        while len(self._spaces) > SPACES or self._part_bytes() > MEMORY_BYTES:
            self._spaces.popitem(last=False)
        return self._spaces.setdefault(space, TextSpace())

    def _part_bytes(self) -> int:
        """Bytes of the parts that lie in memory, not in mapped files."""
        every = [part for known in self._spaces.values() for part in known.parts]
        return sum(p.embeds_NPC.nbytes for p in every if not is_mapped(p.embeds_NPC))

    def _text_bytes(self) -> int:
        sources = [text.source_TPC for text, _ in self._texts.values()]
        held = [s if isinstance(s, Tensor) else s.mean_TC for s in sources]
        return sum(tensor.nbytes for tensor in held)


def _version(text: TextFeatures) -> int:
    """Number of in-place changes of the embeddings; stored rows are not handed out for writing."""
    return text.source_TPC._version if isinstance(text.source_TPC, Tensor) else 0


def _together(
    made: Iterator[tuple[list[int], Tensor]],
) -> Iterator[tuple[list[int], Tensor]]:
    """All parts as one, which then serves as the result without a copy."""
    indices, tensors = zip(*made, strict=True)
    whole_NPC = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
    yield [i for part in indices for i in part], whole_NPC


def _assembled(
    parts: list[TextPart], place_T2: Tensor, device: torch.device
) -> Tensor | StoredRows:
    """Rows of a vocabulary, as a tensor if they are few."""
    used = place_T2[:, 0].unique().tolist()
    whole = parts[used[0]].embeds_NPC
    in_order = torch.equal(place_T2[:, 1], torch.arange(len(whole), device="cpu"))
    if len(used) == 1 and in_order and whole.device == device and not is_mapped(whole):
        return whole
    table = StoredRows(
        [part.embeds_NPC for part in parts], [part.mean_NC for part in parts], place_T2, device
    )
    if table.shape.numel() * 4 > held_bytes(device):
        return table
    return next(table.split(len(table)))

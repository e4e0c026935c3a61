"""Writer of visual-prompt banks that saves regularly, so that an interrupted build can continue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ovss.io.files import write_atomic

from .bank import FORMAT, INDEX, BankError, Entry, Maker, VisualPromptBank, level_names, part_name


class BankWriter:
    """Context manager that adds prompts to a bank.

    Args:
        folder: folder of a new bank or of one to continue.
        maker: identity of the encoder; a bank of another encoder is refused.
        flush: number of prompts between two writes.

    Raises:
        BankError: the folder holds a bank of another encoder, or an unreadable index.
    """

    def __init__(self, folder: str | Path, maker: Maker, flush: int = 256) -> None:
        self.folder, self.maker, self.flush_every = Path(folder), maker, flush
        self.entries: list[Entry] = []
        if (self.folder / INDEX).is_file():
            bank = VisualPromptBank(self.folder)
            if difference := bank.maker.difference(maker):
                raise BankError(
                    f"The bank in {self.folder} belongs to another encoder: {difference}. "
                    "Choose another folder or remove this one."
                )
            self.entries = bank.entries
        self._keys = {entry.key for entry in self.entries}
        self._part = 1 + max((entry.part for entry in self.entries), default=-1)
        self._waiting: list[Entry] = []
        self._vectors: list[tuple[Tensor, ...]] = []

    def __contains__(self, entry: Entry) -> bool:
        return entry.key in self._keys

    def add(self, entry: Entry, embed_C: Tensor, levels: Sequence[Tensor]) -> None:
        """Adds one prompt.

        Args:
            entry: index entry; its location is filled in when it is written.
            embed_C: image embedding.
            levels: averaged levels, each (level_dim,).

        Raises:
            BankError: shapes that do not match the encoder.
        """
        shapes = [tuple(vector.shape) for vector in (embed_C, *levels)]
        expected = [(dim,) for dim in (self.maker.joint_dim, *self.maker.level_dims)]
        if shapes != expected:
            raise BankError(
                f"A prompt of {entry.category!r} has shapes {shapes}, but the encoder of the bank "
                f"produces {expected}. Encode it with the encoder of the bank."
            )
        self._keys.add(entry.key)
        self._waiting.append(entry)
        self._vectors.append(tuple(v.detach().to("cpu", torch.float32) for v in (embed_C, *levels)))
        if len(self._waiting) >= self.flush_every:
            self.flush()

    def flush(self) -> None:
        """Writes the waiting prompts, first the part and then the index."""
        if self._waiting:
            names = ("embeds_NC", *level_names(self.maker))
            tensors = dict(zip(names, map(torch.stack, zip(*self._vectors)), strict=True))
            content = save(tensors)
            write_atomic(self.folder / part_name(self._part), lambda file: file.write(content))
            self.entries += [
                Entry(entry.category, entry.template, entry.source, self._part, row)
                for row, entry in enumerate(self._waiting)
            ]
            self._part += 1
            self._waiting, self._vectors = [], []
        index: dict[str, Any] = {"format": FORMAT, "maker": asdict(self.maker)}
        index["prompts"] = [asdict(entry) for entry in self.entries]
        text = json.dumps(index, ensure_ascii=False, indent=1)
        write_atomic(self.folder / INDEX, lambda file: file.write(text.encode()))

    def __enter__(self) -> BankWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

"""Text embeddings of an exported vocabulary, in a safetensors file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovss.vocabularies.vocabulary import Vocabulary

from .description import ExportError

__all__ = ["TEXT_TABLE", "TextTable"]

TEXT_TABLE = "text.safetensors"
"""File of the vocabulary that was exported with a model."""


@dataclass(frozen=True)
class TextTable:
    """Text embeddings of a vocabulary.

    Args:
        names: categories, then names that stand for the background.
        ground: number of names that stand for the background.
        vocabulary: queries: the names, or with the rule ``"max"`` each of their synonyms.
        embeds_TPC: float32 embedding of each query and template.
    """

    names: tuple[str, ...]
    ground: int
    vocabulary: Vocabulary
    embeds_TPC: NDArray[np.float32]

    @property
    def categories(self) -> tuple[str, ...]:
        """Names without those that stand for the background."""
        return self.names[: len(self.names) - self.ground]

    @cached_property
    def owner_T(self) -> NDArray[np.int64]:
        """Name that each query belongs to."""
        owners = self.vocabulary.owners
        return np.arange(len(self.names)) if owners is None else np.array(owners)

    def subset(self, names: tuple[str, ...], ground: int) -> TextTable:
        """Embeddings of some of the names, in another order.

        Raises:
            ExportError: a name without embeddings.
        """
        place = {name: index for index, name in enumerate(self.names)}
        for name in names:
            if name not in place:
                raise ExportError(
                    f"The exported vocabulary has no {name!r}, and the model was exported without "
                    f"its text encoder. Choose among its {len(place)} names, or export the model "
                    f"with its text encoder"
                )
        rows = [np.flatnonzero(self.owner_T == place[name]) for name in names]
        row_T = np.concatenate(rows)
        owners = [index for index, own in enumerate(rows) for _ in own]
        vocabulary = replace(
            self.vocabulary,
            names=tuple(self.vocabulary.names[row] for row in row_T),
            owners=None if self.vocabulary.owners is None else tuple(owners),
        )
        return TextTable(names, ground, vocabulary, self.embeds_TPC[row_T])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the table."""
        from safetensors.numpy import save_file

        known = {
            "names": self.names,
            "ground": self.ground,
            "queries": self.vocabulary.names,
            "owners": self.vocabulary.owners,
            "templates": self.vocabulary.templates,
            "synonyms": self.vocabulary.synonyms,
        }
        metadata = {key: json.dumps(value) for key, value in known.items()}
        save_file({"embeds_TPC": np.ascontiguousarray(self.embeds_TPC)}, path, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TextTable:
        """Reads a table of `save`.

        Raises:
            ExportError: the file is missing, damaged, or no such table.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(Path(path), framework="numpy") as file:
                known = {key: _decoded(value) for key, value in (file.metadata() or {}).items()}
                embeds_TPC = file.get_tensor("embeds_TPC")
            vocabulary = Vocabulary(
                known["queries"], known["templates"], known["synonyms"], known["owners"]
            )
            table = cls(known["names"], known["ground"], vocabulary, embeds_TPC)
            table._check()
        except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:
            raise ExportError(
                f"{os.fspath(path)} cannot be used as text embeddings: {error}. Export them again"
            ) from error
        return table

    def _check(self) -> None:
        shape = (len(self.vocabulary), len(self.vocabulary.templates))
        if self.embeds_TPC.dtype != np.float32 or self.embeds_TPC.shape[:-1] != shape:
            raise ValueError(
                f"expected float32 embeddings of {shape[0]} names and {shape[1]} templates, found "
                f"{self.embeds_TPC.dtype} of shape {self.embeds_TPC.shape}"
            )
        if not np.isfinite(self.embeds_TPC).all():
            raise ValueError("an embedding is not finite")


def _decoded(text: str) -> Any:
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else value

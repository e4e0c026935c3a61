"""Text encoder of an exported model: names and templates in, text embeddings out, without torch."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovss.vocabularies.prompts import fill_template, names_by_category
from ovss.vocabularies.vocabulary import Vocabulary

from .description import ExportDescription, ExportError
from .sessions import open_session

__all__ = ["TEXT_GRAPH", "TOKENIZER", "ExportedTextEncoder", "cleaned"]

TEXT_GRAPH = "text.onnx"
"""Graph from token ids to text embeddings."""

TOKENIZER = "tokenizer.json"
"""CLIP's byte-pair tokenizer as the package tokenizers reads it."""

_TOKENS = 8192  # tokens of prompts that are encoded together


class ExportedTextEncoder:
    """Computes the text embeddings of any vocabulary.

    Args:
        folder: exported folder.
        description: its description.
        backend: see `ovss.export.run.ExportedModel`.
        threads: see `ovss.export.run.ExportedModel`.

    Raises:
        ExportError: a package or a file is missing.
    """

    def __init__(
        self, folder: Path, description: ExportDescription, backend: str, threads: int
    ) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ExportError(
                f"The text encoder needs a package ({error}). Install it with: "
                f"pip install 'ovss[export]'"
            ) from error
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._graph = open_session(folder / TEXT_GRAPH, backend, threads)
        self._length, self._pads = description.context_length, description.pads_prompts

    def __call__(self, vocabulary: Vocabulary) -> NDArray[np.float32]:
        """Embeddings (T, P, C), float32 and L2-normalised, see `ovss.encoders.open_clip_text`.

        Raises:
            ExportError: a prompt that is too long; the message names the category.
            ValueError: a blank name.
        """
        names = names_by_category(vocabulary)
        ids = [
            self._ids(fill_template(template, name), vocabulary.names[category])
            for category, synonyms in enumerate(names)
            for name in synonyms
            for template in vocabulary.templates
        ]
        embeds_NC = self._embeds(ids)
        embeds_NPC = embeds_NC.reshape(-1, len(vocabulary.templates), embeds_NC.shape[1])
        counts = [len(synonyms) for synonyms in names]
        if max(counts) == 1:
            return embeds_NPC
        starts = np.cumsum([0, *counts[:-1]])
        return _normalised(np.add.reduceat(embeds_NPC, starts, axis=0))

    def _ids(self, prompt: str, category: str) -> list[int]:
        ids = self._tokenizer.encode(cleaned(prompt)).ids
        if len(ids) > self._length:
            raise ExportError(
                f"Category {category!r} cannot be encoded. The prompt {prompt!r} has {len(ids)} "
                f"tokens, but the text encoder takes at most {self._length}. Shorten the name"
            )
        return ids

    def _embeds(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """Embeddings (N, C); prompts of similar length are encoded together."""
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        parts, start = [], 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and len(ids[order[stop]]) * (stop + 1 - start) <= _TOKENS:
                stop += 1
            rows = [ids[index] for index in order[start:stop]]
            length = self._length if self._pads else len(rows[-1])
            ids_NL = np.zeros((len(rows), length), np.int64)
            for row_L, own in zip(ids_NL, rows, strict=True):
                row_L[: len(own)] = own
            parts.append(self._graph(ids_NL=ids_NL)[0])
            start = stop
        embeds_NC = np.empty((len(ids), parts[0].shape[1]), np.float32)
        embeds_NC[order] = np.concatenate(parts)
        return _normalised(embeds_NC)


def cleaned(text: str) -> str:
    """Prompt as CLIP's tokenizer reads it: mended, in lower case, with single spaces.

    >>> cleaned("A photo of  Q&amp;A. ")
    'a photo of q&a.'
    """
    import ftfy

    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return " ".join(text.split()).lower()


def _normalised(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

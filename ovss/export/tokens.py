"""CLIP's byte-pair tokenizer as a file of the package tokenizers, which needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["save_byte_pair_tokenizer"]

_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""Pieces of a text before pairs are merged: endings of words, words, digits, other signs."""


def save_byte_pair_tokenizer(source: Any, path: Path) -> None:
    """Writes a tokenizer whose ids include the start and end marks.

    Args:
        source: open_clip's ``SimpleTokenizer``.
        path: file to write.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(
        models.BPE(vocab=source.encoder, merges=merges, end_of_word_suffix="</w>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    marks = [(name, source.encoder[name]) for name in ("<start_of_text>", "<end_of_text>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{marks[0][0]} $A {marks[1][0]}", special_tokens=marks
    )
    tokenizer.save(str(path))

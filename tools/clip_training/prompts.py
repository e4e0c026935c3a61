"""Prompt templates of the trainings, and a tokenizer that remembers the words it has seen."""

from __future__ import annotations

from functools import lru_cache

import open_clip
import torch
from torch import Tensor

#: Templates for one phrase. The first `COMMON` are used for half of all draws.
TEMPLATES = (
    "{}",
    "a {}",
    "a photo of a {}.",
    "A photo of a {} in the scene",
    "a photo of {}.",
    "a picture of a {}",
    "an image of the {}",
    "there is a {} in the scene.",
    *(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES),
)
COMMON = 8


@lru_cache(maxsize=1)
def _tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=77)


@lru_cache(maxsize=20_000)
def _word(text: str) -> tuple[int, ...]:
    return tuple(_tokenizer().encode(text))


def tokenise(captions: list[str]) -> Tensor:
    """Token ids of captions, (captions, longest caption), padded with zeros.

    The ids are those of open_clip's tokenizer, which encodes the parts between blanks one by one.
    """
    start, end = _tokenizer().sot_token_id, _tokenizer().eot_token_id
    rows = [[start, *(i for word in text.split() for i in _word(word)), end] for text in captions]
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in zip(tokens, rows):
        row[: len(ids)] = torch.tensor(ids)
    return tokens

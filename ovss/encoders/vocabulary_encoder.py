"""Encoding of vocabularies with an open_clip text tower and a cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ovss.io.excerpts import excerpt
from ovss.io.fingerprint import Fingerprint
from ovss.ops import without_autocast
from ovss.structures import TextFeatures, Vocabulary

from .open_clip_text import TextRules, embed_vocabulary, text_tower
from .prompts import names_by_category
from .text_cache import TextCache, cache_key
from .tokenizer import Tokenizer

__all__ = ["VocabularyEncoder"]

CACHES = ("disk", "memory", "off")
PROMPTS_PER_PART = 2048  # prompts encoded between two writes to the cache


class VocabularyEncoder:
    """Text encoding shared by all encoders that hold an open_clip model.

    It does not hold parameters; the model is an argument of each call.

    Args:
        config: model config.
        cache: ``disk`` (which includes memory), ``memory`` or ``off``.

    Raises:
        ValueError: an unknown value of `cache`.
    """

    def __init__(self, config: dict[str, Any], cache: str) -> None:
        if cache not in CACHES:
            raise ValueError(f"text_cache must be 'disk', 'memory' or 'off', got {excerpt(cache)}.")
        self._config = config["text_cfg"]
        self._rules = TextRules.from_config(config["text_cfg"])
        self._architecture = json.dumps([config["text_cfg"], config.get("quick_gelu", False)])
        self._tokenizer: Tokenizer | None = None
        self._fingerprint = Fingerprint()
        self._cache = None if cache == "off" else TextCache(disk=cache == "disk")

    def __call__(
        self, clip: nn.Module, vocabulary: Vocabulary, context_MD: nn.Parameter | None = None
    ) -> TextFeatures:
        """Computes or looks up the embeddings (T, P, C): float32, L2-normalised.

        Args:
            clip: CLIP model.
            vocabulary: names and templates.
            context_MD: learned vectors that follow the start mark of every prompt.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        tensors = _text_tensors(clip)
        if context_MD is not None:
            tensors["learned context"] = context_MD
        trains = any(parameter.requires_grad for parameter in tensors.values())
        if clip.training and trains and torch.is_grad_enabled():
            return TextFeatures(self._embed(clip, vocabulary, context_MD), vocabulary=vocabulary)
        device = next(iter(tensors.values())).device

        def fixed(part: Vocabulary) -> Tensor:
            return self._embed_fixed(clip, part, device, context_MD)

        if self._cache is None or device.type == "meta":
            return TextFeatures(fixed(vocabulary), vocabulary=vocabulary)
        weights, cache = self._fingerprint(tensors), self._cache

        def cached(part: Vocabulary, make: Callable[[], Tensor], whole: bool = False) -> Tensor:
            key = cache_key(
                weights=weights,
                architecture=self._architecture,
                tokenizer=self._get_tokenizer().fingerprint,
                names=part.names,
                templates=part.templates,
                synonyms=part.synonyms,
            )
            with torch.inference_mode(False):  # cached tensors must work in training, too
                return cache.get_or_make(key, device, make, in_memory=whole)

        def make() -> Tensor:
            """Encodes part by part, so that an interrupted run keeps the finished parts."""
            parts = list(split_vocabulary(vocabulary))
            if len(parts) == 1:
                return fixed(vocabulary)
            return torch.cat([cached(part, partial(fixed, part)) for part in parts])

        return TextFeatures(cached(vocabulary, make, whole=True), vocabulary=vocabulary)

    def _get_tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self._config)
        return self._tokenizer

    def _embed(
        self, clip: nn.Module, vocabulary: Vocabulary, context_MD: Tensor | None = None
    ) -> Tensor:
        tokenizer = self._get_tokenizer()
        return embed_vocabulary(text_tower(clip), self._rules, tokenizer, vocabulary, context_MD)

    def _embed_fixed(
        self,
        clip: nn.Module,
        vocabulary: Vocabulary,
        device: torch.device,
        context_MD: Tensor | None = None,
    ) -> Tensor:
        """Embeddings without gradients, autocast or inference mode, usable in any later call."""
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            without_autocast(device),
        ):
            return self._embed(clip, vocabulary, context_MD)


def split_vocabulary(vocabulary: Vocabulary) -> Iterator[Vocabulary]:
    """Yields consecutive parts of a vocabulary of about `PROMPTS_PER_PART` prompts each."""
    start, prompts = 0, 0
    for stop, names in enumerate(names_by_category(vocabulary), 1):
        prompts += len(names) * len(vocabulary.templates)
        if prompts >= PROMPTS_PER_PART or stop == len(vocabulary):
            yield replace(vocabulary, names=vocabulary.names[start:stop], owners=None)
            start, prompts = stop, 0


def _text_tensors(clip: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters on which text embeddings depend."""
    return {
        name: parameter
        for name, parameter in clip.named_parameters()
        if not name.startswith(("visual.", "logit_"))
    }

"""Encoding of vocabularies with an open_clip text tower and a cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.io.excerpts import excerpt
from ovss.io.fingerprint import Fingerprint
from ovss.ops import without_autocast
from ovss.structures import TextFeatures, Vocabulary
from ovss.vocabularies.prompts import names_by_category

from .open_clip_text import TextRules, embed_vocabulary, text_tower
from .prompt_tower import TransformerTower
from .text_cache import TextCache, cache_key
from .tokenizer import Tokenizer

__all__ = ["VocabularyEncoder"]

CACHES = ("disk", "memory", "off")
PROMPTS_PER_PART = 8192  # prompts encoded between two writes to the cache


class VocabularyEncoder:
    """Text encoding shared by all encoders that hold an open_clip model.

    It does not hold parameters; the model is an argument of each call.

    Args:
        config: model config.
        cache: ``disk`` (which includes memory), ``memory`` or ``off``.
        last: number of channels to keep of each embedding, the last ones, normalised again; 0 for
            all of them.

    Raises:
        ValueError: an unknown value of `cache`.
    """

    def __init__(self, config: dict[str, Any], cache: str, last: int = 0) -> None:
        if cache not in CACHES:
            raise ValueError(f"text_cache must be 'disk', 'memory' or 'off', got {excerpt(cache)}.")
        self._config = config["text_cfg"]
        self._rules = TextRules.from_config(config["text_cfg"])
        self._last = last
        self._architecture = json.dumps(
            [config["text_cfg"], config.get("quick_gelu", False), *([last] if last else [])]
        )
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
        trains = any(tensor.requires_grad for tensor in tensors.values())
        if clip.training and trains and torch.is_grad_enabled():
            return TextFeatures(self._embed(clip, vocabulary, context_MD), vocabulary=vocabulary)
        device = next(iter(tensors.values())).device
        if self._cache is None or device.type == "meta":
            made = self._embed_fixed(clip, vocabulary, device, context_MD)
            return TextFeatures(made, vocabulary=vocabulary)
        weights = self._fingerprint(tensors)
        key = (weights, vocabulary, device)
        text = self._cache.recall(key)
        if text is None:
            with torch.inference_mode(False):  # cached tensors must work in training, too
                text = self._collect(self._cache, weights, clip, vocabulary, device, context_MD)
            self._cache.remember(key, text)
        return text

    def _collect(
        self,
        cache: TextCache,
        weights: str,
        clip: nn.Module,
        vocabulary: Vocabulary,
        device: torch.device,
        context_MD: Tensor | None,
    ) -> TextFeatures:
        """Text features of a vocabulary, with embeddings of known names from the cache."""
        names = names_by_category(vocabulary)

        def make(indices: list[int]) -> Iterator[tuple[list[int], Tensor]]:
            for part in _parts(indices, names, len(vocabulary.templates)):
                wanted = tuple(vocabulary.names[index] for index in part)
                some = replace(vocabulary, names=wanted, owners=None)
                yield part, self._embed_fixed(clip, some, device, context_MD)

        space = cache_key(
            weights=weights,
            architecture=self._architecture,
            tokenizer=self._get_tokenizer().fingerprint,
            templates=vocabulary.templates,
        )
        # The rule for synonyms decides which texts are encoded for a category, and nothing else.
        keys = [json.dumps(texts) for texts in names]
        return TextFeatures(cache.collect(space, keys, device, make), vocabulary=vocabulary)

    def prompt_tower(
        self, clip: nn.Module, context_MD: nn.Parameter | None = None
    ) -> TransformerTower | None:
        """Text tower for export; None if its tokenizer is not CLIP's byte-pair tokenizer.

        Args:
            clip: CLIP model.
            context_MD: see `__call__`.
        """
        tokenizer = self._get_tokenizer().byte_pair
        if tokenizer is None:
            return None
        return TransformerTower(text_tower(clip), self._rules, tokenizer, context_MD, self._last)

    def _get_tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self._config)
        return self._tokenizer

    def _embed(
        self, clip: nn.Module, vocabulary: Vocabulary, context_MD: Tensor | None = None
    ) -> Tensor:
        tokenizer = self._get_tokenizer()
        embeds_TPC = embed_vocabulary(
            text_tower(clip), self._rules, tokenizer, vocabulary, context_MD
        )
        return F.normalize(embeds_TPC[..., -self._last :], dim=-1) if self._last else embeds_TPC

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


def _parts(
    indices: list[int], names: Sequence[tuple[str, ...]], templates: int
) -> Iterator[list[int]]:
    """Yields consecutive categories with about `PROMPTS_PER_PART` prompts together."""
    part: list[int] = []
    prompts = 0
    for index in indices:
        part.append(index)
        prompts += len(names[index]) * templates
        if prompts >= PROMPTS_PER_PART:
            yield part
            part, prompts = [], 0
    if part:
        yield part


def _text_tensors(clip: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers on which text embeddings depend."""
    named: dict[str, Tensor] = dict(clip.named_parameters(recurse=False))
    for prefix, child in clip.named_children():
        if prefix != "visual":
            named |= child.named_parameters(prefix)
            named |= child.named_buffers(prefix)
    return {name: value for name, value in named.items() if not name.startswith("logit_")}

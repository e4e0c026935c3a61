"""The text side: prompts through an open_clip text transformer, no longer than they need to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.structures import Vocabulary

from .prompts import fill_template, words_of
from .tokenizer import Tokenizer

__all__ = ["TextRules", "embed_prompts", "embed_vocabulary", "text_tower"]

TOKENS_PER_CHUNK = 8192  # about 100 MB of activations in a tower of width 768
SECONDS_BEFORE_BAR = 3.0


@dataclass(frozen=True)
class TextRules:
    """What a text tower does with its tokens; read off the model config.

    Args:
        causal: no token sees a later one, so what follows the end mark changes nothing.
        pool: "argmax" (the end mark has the highest id), "eos", "first" or "last".
        eos_id: id of the end mark, for "eos".
        context_length: most tokens.
    """

    causal: bool
    pool: str
    eos_id: int
    context_length: int

    @classmethod
    def of_config(cls, text_config: dict[str, Any]) -> TextRules:
        """Read ``text_cfg`` of an open_clip model config."""
        return cls(
            causal=not text_config.get("no_causal_mask", False),
            pool=text_config.get("pool_type", "argmax"),
            eos_id=text_config.get("eos_id", 2),
            context_length=text_config.get("context_length", 77),
        )

    @property
    def may_shorten(self) -> bool:
        """Whether leaving out everything after the end mark is exact."""
        return self.causal and self.pool in ("argmax", "eos")


def text_tower(clip: nn.Module) -> nn.Module:
    """The module that holds the text tower's parts: `clip` itself, or its ``text``."""
    return dict(clip.named_children()).get("text", clip)


def embed_prompts(tower: nn.Module, rules: TextRules, ids_NL: Tensor) -> Tensor:
    """Embeddings (N, C) of token ids, not normalised; differentiable."""
    dtype = tower.transformer.get_cast_dtype()
    x_NLD = tower.token_embedding(ids_NL).to(dtype)
    x_NLD = x_NLD + tower.positional_embedding[: ids_NL.shape[1]].to(dtype)
    for block in tower.transformer.resblocks:
        x_NLD = x_NLD + block.ls_1(block.attn(block.ln_1(x_NLD), causal=rules.causal))
        x_NLD = x_NLD + block.ls_2(block.mlp(block.ln_2(x_NLD)))
    place_N = _pooled_place(rules, ids_NL)
    x_ND = tower.ln_final(x_NLD[torch.arange(len(place_N), device=place_N.device), place_N])
    if tower.text_projection is None:
        return x_ND
    if isinstance(tower.text_projection, nn.Linear):
        return tower.text_projection(x_ND)
    return x_ND @ tower.text_projection


def _pooled_place(rules: TextRules, ids_NL: Tensor) -> Tensor:
    if rules.pool == "argmax":
        return ids_NL.argmax(1)
    if rules.pool == "eos":
        return (ids_NL == rules.eos_id).int().argmax(1)
    place = 0 if rules.pool == "first" else ids_NL.shape[1] - 1
    return ids_NL.new_full((len(ids_NL),), place)


def embed_vocabulary(
    tower: nn.Module, rules: TextRules, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> Tensor:
    """Every category under every template: (T, P, C) float32, L2-normalised.

    With ``synonyms="average"`` each prompt's embedding is normalised, the mean over a category's
    synonyms is taken per template, and the mean is normalised again. Prompts of like length are
    encoded together, in chunks of bounded memory; gradients flow if they are enabled.

    Raises:
        ValueError: a blank name, or a prompt too long for the text tower, naming the category.
    """
    words = words_of(vocabulary)
    templates, total = len(vocabulary.templates), sum(map(len, words))
    ids = [_tokenize(tokenizer, template, word, vocabulary.names[category])
           for template in vocabulary.templates
           for category, synonyms in enumerate(words)
           for word in synonyms]  # fmt: skip
    embeds_NC = F.normalize(_embed_chunks(tower, rules, ids), dim=-1)
    embeds_PNC = embeds_NC.unflatten(0, (templates, total))
    if total == len(words):
        return embeds_PNC.transpose(0, 1).contiguous()
    counts_T = [len(synonyms) for synonyms in words]
    means_PTC = torch.stack([part.mean(1) for part in embeds_PNC.split(counts_T, dim=1)], dim=1)
    return F.normalize(means_PTC, dim=-1).transpose(0, 1).contiguous()


def _tokenize(tokenizer: Tokenizer, template: str, word: str, name: str) -> list[int]:
    try:
        return tokenizer(fill_template(template, word))
    except ValueError as error:
        raise ValueError(f"category {name!r}: {error}. Shorten the name or the template") from None


def _embed_chunks(tower: nn.Module, rules: TextRules, ids: list[list[int]]) -> Tensor:
    from tqdm import tqdm

    device = tower.positional_embedding.device
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    chunks = list(_chunks([ids[index] for index in order], rules))
    bar = tqdm(
        chunks, "encoding words", delay=SECONDS_BEFORE_BAR, leave=False, disable=len(chunks) < 2
    )
    embeds_NC = torch.cat([embed_prompts(tower, rules, ids_NL.to(device)) for ids_NL in bar])
    back_N = torch.empty(len(order), dtype=torch.long, device="cpu")
    back_N[torch.tensor(order, device="cpu")] = torch.arange(len(order), device="cpu")
    return embeds_NC.float()[back_N.to(device)]


def _chunks(ids: list[list[int]], rules: TextRules) -> Iterator[Tensor]:
    """Padded id tensors of at most `TOKENS_PER_CHUNK` ids; `ids` come sorted by length."""
    start = 0
    while start < len(ids):
        stop, length = start, rules.context_length
        while stop < len(ids):
            wanted = len(ids[stop]) if rules.may_shorten else rules.context_length
            if stop > start and wanted * (stop + 1 - start) > TOKENS_PER_CHUNK:
                break
            stop, length = stop + 1, wanted
        rows = [row + [0] * (length - len(row)) for row in ids[start:stop]]
        yield torch.tensor(rows, device="cpu")
        start = stop

"""Text embeddings from an open_clip text transformer, with prompts cut to the needed length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.structures import Vocabulary
from ovss.vocabularies.prompts import count_prompts, fill_template, names_by_category

from .shared_prefixes import PrefixedPrompts, embed_prefixed
from .text_transformer import TextRules, embed_prompts, text_tower
from .tokenizer import Tokenizer

__all__ = ["TextRules", "embed_prompts", "embed_vocabulary", "text_tower"]

TOKENS_PER_CHUNK = 8192  # about 100 MB of activations in a tower of width 768
TOKENS_ON_CPU = 1024  # with shared prefixes, so that activations stay in the processor's cache
SECONDS_BEFORE_BAR = 3.0


def embed_vocabulary(
    tower: nn.Module,
    rules: TextRules,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    context_MD: Tensor | None = None,
) -> Tensor:
    """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

    With ``synonyms="average"`` each prompt's embedding is normalised, averaged over the synonyms of
    a category for each template, and normalised again. Prompts of similar length are encoded
    together, in chunks of bounded memory. Gradients flow if they are enabled.

    Args:
        tower: text tower, see `text_tower`.
        rules: rules of the tower.
        tokenizer: tokenizer of the tower.
        vocabulary: names and templates.
        context_MD: learned vectors, see `embed_prompts`.

    Raises:
        ValueError: a blank name, or a prompt that is too long for the text tower. The message names
            the category.
    """
    names = names_by_category(vocabulary)
    templates, total = len(vocabulary.templates), sum(map(len, names))
    vectors = 0 if context_MD is None else context_MD.shape[0]
    ids = [_tokenize(tokenizer, template, name, vocabulary.names[category], vectors)
           for template in vocabulary.templates
           for category, synonyms in enumerate(names)
           for name in synonyms]  # fmt: skip
    text, embeds_NC = count_prompts(total, templates), None
    if rules.can_shorten:
        ids = [rules.shortened(row) for row in ids]
        if total > 1 and not torch.is_grad_enabled():
            prompts = PrefixedPrompts(ids, _groups(vocabulary.templates, names))
            embeds_NC = _embed_prefixed(tower, prompts, text, context_MD)
    if embeds_NC is None:
        embeds_NC = _embed_chunks(tower, rules, ids, text, context_MD)
    embeds_PNC = F.normalize(embeds_NC.float(), dim=-1).unflatten(0, (templates, total))
    if total == len(names):
        return embeds_PNC.transpose(0, 1).contiguous()
    counts_T = [len(synonyms) for synonyms in names]
    means_PTC = torch.stack([part.mean(1) for part in embeds_PNC.split(counts_T, dim=1)], dim=1)
    return F.normalize(means_PTC, dim=-1).transpose(0, 1).contiguous()


def _groups(templates: tuple[str, ...], names: list[tuple[str, ...]]) -> list[int]:
    """Number of the text before the name, which ``{article}`` makes depend on the name, too."""
    numbers: dict[tuple[int, str], int] = {}
    keys = ((number, fill_template(template.partition("{}")[0], name))
            for number, template in enumerate(templates)
            for synonyms in names for name in synonyms)  # fmt: skip
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _tokenize(
    tokenizer: Tokenizer, template: str, name: str, category: str, vectors: int
) -> list[int]:
    try:
        ids = tokenizer(fill_template(template, name))
        if len(ids) + vectors > tokenizer.context_length:
            raise ValueError(
                f"With {vectors} learned vectors it has {len(ids) + vectors} tokens, but the text "
                f"tower takes at most {tokenizer.context_length}."
            )
        return ids
    except ValueError as error:
        raise ValueError(
            f"Category {category!r} cannot be encoded. {error} Shorten the name or the template."
        ) from None


def _embed_prefixed(
    tower: nn.Module, prompts: PrefixedPrompts, text: str, context_MD: Tensor | None
) -> Tensor | None:
    def show(chunks: list[list[int]]) -> Iterable[list[int]]:
        return _with_bar(chunks, text)

    on_cpu = tower.positional_embedding.device.type == "cpu"
    tokens = min(TOKENS_PER_CHUNK, TOKENS_ON_CPU) if on_cpu else TOKENS_PER_CHUNK
    return embed_prefixed(tower, prompts, context_MD, tokens, show)


def _embed_chunks(
    tower: nn.Module,
    rules: TextRules,
    ids: list[list[int]],
    text: str,
    context_MD: Tensor | None,
) -> Tensor:
    device = tower.positional_embedding.device
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    chunks = list(_chunks([ids[index] for index in order], rules))
    embeds_NC = torch.cat(
        [
            embed_prompts(tower, rules, ids_NL.to(device), context_MD)
            for ids_NL in _with_bar(chunks, text)
        ]
    )
    # Inverse permutation: from the order by length back to the order of `ids`.
    row_N = torch.empty(len(order), dtype=torch.long, device="cpu")
    row_N[torch.tensor(order, device="cpu")] = torch.arange(len(order), device="cpu")
    return embeds_NC.float()[row_N.to(device)]


def _with_bar(chunks: list[Any], text: str) -> Iterable[Any]:
    """Chunks with a progress bar, if encoding takes long and there is a terminal."""
    from tqdm import tqdm

    is_quiet = True if len(chunks) < 2 else None  # None: no bar without a terminal
    return tqdm(chunks, text, delay=SECONDS_BEFORE_BAR, leave=False, disable=is_quiet)


def _chunks(ids: list[list[int]], rules: TextRules) -> Iterator[Tensor]:
    """Yields padded id tensors of at most `TOKENS_PER_CHUNK` ids; `ids` are sorted by length."""
    start = 0
    while start < len(ids):
        stop, length = start, rules.context_length
        while stop < len(ids):
            needed = len(ids[stop]) if rules.can_shorten else rules.context_length
            if stop > start and needed * (stop + 1 - start) > TOKENS_PER_CHUNK:
                break
            stop, length = stop + 1, needed
        rows = [row + [0] * (length - len(row)) for row in ids[start:stop]]
        yield torch.tensor(rows, device="cpu")
        start = stop

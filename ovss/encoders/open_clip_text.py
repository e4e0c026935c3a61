"""Text embeddings from an open_clip text transformer, with prompts cut to the needed length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.structures import Vocabulary

from .prompts import count_prompts, fill_template, names_by_category
from .tokenizer import Tokenizer

__all__ = ["TextRules", "embed_prompts", "embed_vocabulary", "text_tower"]

TOKENS_PER_CHUNK = 8192  # about 100 MB of activations in a tower of width 768
SECONDS_BEFORE_BAR = 3.0


@dataclass(frozen=True)
class TextRules:
    """Attention mask, pooling and length of a text tower, from the model config.

    Args:
        causal: True if no token sees a later one, so tokens after the end mark have no effect.
        pool: position of the pooled token: ``"argmax"`` (the end mark has the highest id),
            ``"eos"``, ``"first"`` or ``"last"``.
        eos_id: id of the end mark, used with ``"eos"``.
        context_length: largest number of tokens.
    """

    causal: bool
    pool: str
    eos_id: int
    context_length: int

    @classmethod
    def from_config(cls, text_config: dict[str, Any]) -> TextRules:
        """Reads ``text_cfg`` of an open_clip model config."""
        return cls(
            causal=not text_config.get("no_causal_mask", False),
            pool=text_config.get("pool_type", "argmax"),
            eos_id=text_config.get("eos_id", 2),
            context_length=text_config.get("context_length", 77),
        )

    @property
    def can_shorten(self) -> bool:
        """True if dropping all tokens after the end mark gives exactly the same embedding."""
        return self.causal and self.pool in ("argmax", "eos")


def text_tower(clip: nn.Module) -> nn.Module:
    """Module that holds the parts of the text tower: `clip` itself, or its ``text``."""
    return dict(clip.named_children()).get("text", clip)


def embed_prompts(
    tower: nn.Module, rules: TextRules, ids_NL: Tensor, context_MD: Tensor | None = None
) -> Tensor:
    """Computes the embeddings (N, C) of token ids. They are differentiable and not normalised.

    Args:
        tower: text tower.
        rules: rules of the tower.
        ids_NL: token ids.
        context_MD: learned vectors that follow the start mark of every prompt; None for none.
    """
    dtype = tower.transformer.get_cast_dtype()
    x_NLD = tower.token_embedding(ids_NL).to(dtype)
    position_N = _pooled_position(rules, ids_NL)
    if context_MD is not None:
        context_NMD = context_MD.to(dtype).expand(len(ids_NL), -1, -1)
        x_NLD = torch.cat([x_NLD[:, :1], context_NMD, x_NLD[:, 1:]], dim=1)
        position_N = position_N + len(context_MD)
    x_NLD = x_NLD + tower.positional_embedding[: x_NLD.shape[1]].to(dtype)
    for block in tower.transformer.resblocks:
        x_NLD = x_NLD + block.ls_1(block.attn(block.ln_1(x_NLD), causal=rules.causal))
        x_NLD = x_NLD + block.ls_2(block.mlp(block.ln_2(x_NLD)))
    rows_N = torch.arange(len(position_N), device=position_N.device)
    x_ND = tower.ln_final(x_NLD[rows_N, position_N])
    if tower.text_projection is None:
        return x_ND
    if isinstance(tower.text_projection, nn.Module):
        return tower.text_projection(x_ND)
    return x_ND @ tower.text_projection


def _pooled_position(rules: TextRules, ids_NL: Tensor) -> Tensor:
    """Position (N,) of the token whose output becomes the embedding."""
    if rules.pool == "argmax":
        return ids_NL.argmax(1)
    if rules.pool == "eos":
        return (ids_NL == rules.eos_id).int().argmax(1)
    position = 0 if rules.pool == "first" else ids_NL.shape[1] - 1
    return ids_NL.new_full((len(ids_NL),), position)


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
    vectors = 0 if context_MD is None else len(context_MD)
    ids = [_tokenize(tokenizer, template, name, vocabulary.names[category], vectors)
           for template in vocabulary.templates
           for category, synonyms in enumerate(names)
           for name in synonyms]  # fmt: skip
    embeds_NC = F.normalize(
        _embed_chunks(tower, rules, ids, count_prompts(total, templates), context_MD), dim=-1
    )
    embeds_PNC = embeds_NC.unflatten(0, (templates, total))
    if total == len(names):
        return embeds_PNC.transpose(0, 1).contiguous()
    counts_T = [len(synonyms) for synonyms in names]
    means_PTC = torch.stack([part.mean(1) for part in embeds_PNC.split(counts_T, dim=1)], dim=1)
    return F.normalize(means_PTC, dim=-1).transpose(0, 1).contiguous()


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


def _embed_chunks(
    tower: nn.Module,
    rules: TextRules,
    ids: list[list[int]],
    text: str,
    context_MD: Tensor | None,
) -> Tensor:
    from tqdm import tqdm

    device = tower.positional_embedding.device
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    chunks = list(_chunks([ids[index] for index in order], rules))
    is_quiet = True if len(chunks) < 2 else None  # None: no bar without a terminal
    bar = tqdm(chunks, text, delay=SECONDS_BEFORE_BAR, leave=False, disable=is_quiet)
    embeds_NC = torch.cat(
        [embed_prompts(tower, rules, ids_NL.to(device), context_MD) for ids_NL in bar]
    )
    # Inverse permutation: from the order by length back to the order of `ids`.
    row_N = torch.empty(len(order), dtype=torch.long, device="cpu")
    row_N[torch.tensor(order, device="cpu")] = torch.arange(len(order), device="cpu")
    return embeds_NC.float()[row_N.to(device)]


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

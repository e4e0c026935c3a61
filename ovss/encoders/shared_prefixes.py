"""Embeddings of prompts whose common first tokens are computed once.

All prompts of a template start with the same tokens. Under a causal mask the keys and values of a
token depend on this token and on those before it, so they are computed once for each template. Each
prompt then adds its own tokens, up to the end mark. The result is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovss.layers.attention import attend

from .text_transformer import embed_tokens, project

__all__ = ["PrefixedPrompts", "embed_prefixed"]

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values (G, L, D) of the prefixes, for each block."""


@dataclass(frozen=True)
class PrefixedPrompts:
    """Prompts, cut after the pooled token, and groups that start alike.

    Args:
        ids: token ids of each prompt.
        groups: group of each prompt, counted from 0 without gaps.
    """

    ids: Sequence[Sequence[int]]
    groups: Sequence[int]

    def prefixes(self) -> list[Sequence[int]]:
        """Longest common beginning of each group, without any prompt's last token."""
        found: dict[int, Sequence[int]] = {}
        for ids, group in zip(self.ids, self.groups, strict=True):
            known = found.get(group, ids)
            shared = min(len(known), len(ids) - 1)
            same = next((i for i in range(shared) if known[i] != ids[i]), shared)
            found[group] = known[:same]
        return [found[group] for group in range(len(found))]

    def chunks(self, lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
        """Yields prompts with equally long prefixes and equally long rests, so without padding.

        Args:
            lengths: length of the prefix of each group.
            tokens: largest number of tokens in all rests of a chunk.
        """

        def kind(index: int) -> tuple[int, int]:
            prefix = lengths[self.groups[index]]
            return prefix, len(self.ids[index]) - prefix

        chunk: list[int] = []
        for index in sorted(range(len(self.ids)), key=kind):
            fits = (len(chunk) + 1) * kind(index)[1] <= tokens
            if chunk and not (fits and kind(index) == kind(chunk[0])):
                yield chunk
                chunk = []
            chunk.append(index)
        if chunk:
            yield chunk


def embed_prefixed(
    tower: nn.Module,
    prompts: PrefixedPrompts,
    context_MD: Tensor | None,
    tokens: int,
    show: Callable[[list[list[int]]], Iterable[list[int]]],
) -> Tensor | None:
    """Computes the embeddings (N, C) of prompts under a causal mask, not normalised.

    Args:
        tower: text tower of which the last token of each prompt is the embedding.
        prompts: prompts and their groups.
        context_MD: learned vectors that follow the first token of every prompt; None for none.
        tokens: largest number of tokens in a chunk.
        show: function that iterates over the chunks and shows the progress.

    Returns:
        None if the prompts of a group have no common first token.
    """
    prefixes = prompts.prefixes()
    if not min(map(len, prefixes)):
        return None
    chunks = list(prompts.chunks([len(prefix) for prefix in prefixes], tokens))
    cache = _prefix_cache(tower, prefixes, context_MD)
    vectors = 0 if context_MD is None else context_MD.shape[0]
    parts = [
        _embed_rests(tower, prompts, chunk, prefixes, vectors, cache) for chunk in show(chunks)
    ]
    # Inverse permutation: from the order of the chunks back to that of the prompts.
    order_N = torch.tensor([index for chunk in chunks for index in chunk], device="cpu")
    return torch.cat(parts)[order_N.argsort().to(parts[0].device)]


def _prefix_cache(
    tower: nn.Module, prefixes: Sequence[Sequence[int]], context_MD: Tensor | None
) -> Cache:
    """Keys and values of all prefixes; those behind the end of a shorter one are never read."""
    longest = max(map(len, prefixes))
    rows = [[*prefix, *(0,) * (longest - len(prefix))] for prefix in prefixes]
    ids_GL = torch.tensor(rows, device="cpu").to(tower.positional_embedding.device)
    x_GLD = embed_tokens(tower, ids_GL, context_MD)
    cache: Cache = []
    blocks = tower.transformer.resblocks
    for number, block in enumerate(blocks, 1):
        normed_GLD, attn = block.ln_1(x_GLD), block.attn
        cache.append((attn.key(normed_GLD), attn.value(normed_GLD)))
        if number < len(blocks):
            q, k, v = map(attn.split_heads, (attn.query(normed_GLD), *cache[-1]))
            attended_GLD = attend(q, k, v, causal=True).transpose(1, 2).flatten(2)
            x_GLD = x_GLD + block.ls_1(attn.out_proj(attended_GLD))
            x_GLD = x_GLD + block.ls_2(block.mlp(block.ln_2(x_GLD)))
    return cache


def _embed_rests(
    tower: nn.Module,
    prompts: PrefixedPrompts,
    chunk: list[int],
    prefixes: Sequence[Sequence[int]],
    vectors: int,
    cache: Cache,
) -> Tensor:
    """Embeddings (N, C) of the prompts of a chunk."""
    device = tower.positional_embedding.device
    groups = [prompts.groups[index] for index in chunk]
    length = len(prefixes[groups[0]])
    rows = [list(prompts.ids[index][length:]) for index in chunk]
    group_N = torch.tensor(groups, device="cpu").to(device)
    length += vectors
    x_NRD = embed_tokens(tower, torch.tensor(rows, device="cpu").to(device), start=length)
    allowed_RM = _allowed(length, x_NRD)
    blocks = tower.transformer.resblocks
    for number, (block, (key_GLD, value_GLD)) in enumerate(zip(blocks, cache, strict=True), 1):
        normed_NRD, attn = block.ln_1(x_NRD), block.attn
        key_NMD = torch.cat([key_GLD[group_N, :length], attn.key(normed_NRD)], dim=1)
        value_NMD = torch.cat([value_GLD[group_N, :length], attn.value(normed_NRD)], dim=1)
        if number == len(blocks):  # only the last token is read, and it sees all others
            x_NRD, normed_NRD, allowed_RM = x_NRD[:, -1:], normed_NRD[:, -1:], None
        q, k, v = map(attn.split_heads, (attn.query(normed_NRD), key_NMD, value_NMD))
        attended_NRD = attend(q, k, v, allowed=allowed_RM).transpose(1, 2).flatten(2)
        x_NRD = x_NRD + block.ls_1(attn.out_proj(attended_NRD))
        x_NRD = x_NRD + block.ls_2(block.mlp(block.ln_2(x_NRD)))
    return project(tower, x_NRD[:, -1])


def _allowed(length: int, x_NRD: Tensor) -> Tensor | None:
    """True where a token of the rest sees a token, bool (R, length + R): the prefix is behind it.

    None if there is one token only, which sees everything.
    """
    rest = x_NRD.shape[1]
    if rest == 1:
        return None
    seen = torch.ones(rest, length + rest, dtype=torch.bool, device=x_NRD.device)
    return seen.tril(length)

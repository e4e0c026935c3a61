"""Audit of a vocabulary: names that an encoder's text space cannot tell apart well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.io.option_values import check_range
from ovss.segmentor import OpenVocabSegmentor
from ovss.vocabularies.seen import category_key
from ovss.vocabularies.vocabulary import Vocabulary, split_synonyms

__all__ = ["AUDIT_TEMPERATURE", "CLOSE", "AuditPair", "StraySynonym", "VocabularyAudit", "audit"]

AUDIT_TEMPERATURE = 100.0
"""Scale of cosines in the softmax, that of OpenAI's CLIP."""

CLOSE = 0.2
"""Expected confusion from which two names count as too close."""

_NEIGHBOURS = 5
_CHUNK = 1024


@dataclass(frozen=True)
class AuditPair:
    """Two categories that are close in the text space.

    Args:
        first: name of a category.
        second: name of the other one.
        cosine: cosine of their embeddings, averaged over the templates.
        confusion: expected confusion: share in 0..1 that the softmax over the vocabulary gives to
            one of them if the image looks exactly like the other's text; the larger direction.
    """

    first: str
    second: str
    cosine: float
    confusion: float


@dataclass(frozen=True)
class StraySynonym:
    """Synonym that is closer to another category than to its own.

    Args:
        synonym: text of the synonym.
        own: name of its category.
        other: name of the closest category.
        cosine_own: cosine with the other synonyms of its own category.
        cosine_other: cosine with the closest category.
    """

    synonym: str
    own: str
    other: str
    cosine_own: float
    cosine_other: float


@dataclass(frozen=True)
class VocabularyAudit:
    """Outcome of an audit.

    Args:
        categories: number of categories.
        temperature: scale of the cosines.
        close: number of pairs whose expected confusion is at least `CLOSE`.
        pairs: closest pairs, the largest expected confusion first.
        shared: synonyms that several categories have, with the names of these.
        strays: synonyms that are closer to another category.
    """

    categories: int
    temperature: float
    close: int
    pairs: tuple[AuditPair, ...]
    shared: tuple[tuple[str, tuple[str, ...]], ...]
    strays: tuple[StraySynonym, ...]

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON."""
        return asdict(self)


def audit(
    model: OpenVocabSegmentor,
    names: tuple[str, ...],
    temperature: float = AUDIT_TEMPERATURE,
    most: int = 50,
) -> VocabularyAudit:
    """Audits a vocabulary in the text space of a method, with its prompt templates.

    Args:
        model: method.
        names: names of T categories; commas separate synonyms.
        temperature: scale of the cosines, the one that the encoder learnt.
        most: largest number of pairs to keep.

    Raises:
        ValueError: a number out of range, or an invalid vocabulary.
    """
    check_range("audit", 0, temperature=temperature, most=most)
    templates = model.vocabulary(names).templates

    @torch.inference_mode()
    def encode(texts: tuple[str, ...], synonyms: str) -> Tensor:
        vocabulary = Vocabulary(texts, templates, synonyms)
        return F.normalize(model.encoder.encode_text(vocabulary).mean_TC.float(), dim=-1)

    rule = "average" if model.prompts.synonyms == "max" else model.prompts.synonyms
    embeds_TC = encode(names, rule)
    pairs, close = close_pairs(names, embeds_TC, temperature, most)
    shared = shared_synonyms(names)
    strays: tuple[StraySynonym, ...] = ()
    if rule == "average":
        strays = stray_synonyms(names, embeds_TC, lambda texts: encode(texts, "verbatim"))
    return VocabularyAudit(len(names), temperature, close, pairs, shared, strays)


def close_pairs(
    names: Sequence[str], embeds_TC: Tensor, temperature: float, most: int
) -> tuple[tuple[AuditPair, ...], int]:
    """Pairs of close names, and the number of pairs that are too close, see `CLOSE`.

    The nearest five names of each category are compared.

    Args:
        names: names of T categories.
        embeds_TC: L2-normalised embeddings.
        temperature: scale of the cosines.
        most: largest number of pairs to return.
    """
    count = min(_NEIGHBOURS + 1, len(names))
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for start, cosine_NT in _chunks(embeds_TC):
        share_NT = (temperature * cosine_NT).softmax(-1)
        near_NK = cosine_NT.topk(count).indices
        cosines_NK, shares_NK = cosine_NT.gather(1, near_NK), share_NT.gather(1, near_NK)
        for row, each in enumerate(near_NK.tolist()):
            for place, other in enumerate(each):
                if other == start + row:
                    continue
                pair = (min(start + row, other), max(start + row, other))
                share = float(shares_NK[row, place])
                before = found.get(pair, (0.0, 0.0))[1]
                found[pair] = float(cosines_NK[row, place]), max(before, share)
    order = sorted(found, key=lambda pair: (-found[pair][1], -found[pair][0], pair))
    pairs = tuple(AuditPair(names[a], names[b], *found[a, b]) for a, b in order[:most])
    return pairs, sum(share >= CLOSE for _, share in found.values())


def _chunks(embeds_TC: Tensor) -> Iterator[tuple[int, Tensor]]:
    """First row and cosines (N, T) of parts of the vocabulary."""
    for start in range(0, embeds_TC.shape[0], _CHUNK):
        yield start, embeds_TC[start : start + _CHUNK] @ embeds_TC.T


def shared_synonyms(names: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Synonyms that several categories have, and the names of these categories.

    >>> shared_synonyms(["sofa, couch", "Couch", "cat"])
    (('couch', ('sofa, couch', 'Couch')),)
    """
    owners: dict[str, list[str]] = {}
    for name in names:
        for synonym in sorted(category_key(name)):
            owners.setdefault(synonym, []).append(name)
    return tuple((key, tuple(each)) for key, each in owners.items() if len(each) > 1)


def stray_synonyms(
    names: Sequence[str], embeds_TC: Tensor, encode: Callable[[tuple[str, ...]], Tensor]
) -> tuple[StraySynonym, ...]:
    """Synonyms whose closest category is another one, in the order of the vocabulary.

    Args:
        names: names of T categories.
        embeds_TC: L2-normalised embeddings, averaged over the synonyms.
        encode: function that encodes texts as L2-normalised rows.
    """
    parts = [split_synonyms(name) for name in names]
    texts = [(index, text) for index, each in enumerate(parts) if len(each) > 1 for text in each]
    if not texts:
        return ()
    embeds_NC = encode(tuple(text for _, text in texts))
    owner_N = torch.tensor([index for index, _ in texts])
    sums_TC = torch.zeros_like(embeds_TC).index_add(0, owner_N, embeds_NC)
    # a synonym is part of its category's mean, which would hide how far it is from the rest
    rest_NC = F.normalize(sums_TC[owner_N] - embeds_NC, dim=-1)
    own_N = (embeds_NC * rest_NC).sum(-1)
    cosine_NT = embeds_NC @ embeds_TC.T
    cosine_NT.scatter_(1, owner_N[:, None], -torch.inf)
    other_N, place_N = cosine_NT.max(-1)
    return tuple(
        StraySynonym(text, names[index], names[place], float(own), float(other))
        for (index, text), own, other, place in zip(
            texts, own_N.tolist(), other_N.tolist(), place_N.tolist(), strict=True
        )
        if other > own
    )


def audit_text(found: VocabularyAudit, limit: int = 20) -> str:
    """Text of an audit for a terminal.

    Args:
        found: outcome of the audit.
        limit: number of pairs and of synonyms to show.
    """
    lines = [
        f"{found.categories:,} categories; {found.close:,} pairs with an expected confusion of at "
        f"least {100 * CLOSE:.0f} % (softmax of cosines times {found.temperature:g})",
        f"{'confusion':>9}  {'cosine':>6}  names",
    ]
    for pair in found.pairs[:limit]:
        share = f"{100 * pair.confusion:.1f} %"
        lines.append(f"{share:>9}  {pair.cosine:6.3f}  {pair.first} | {pair.second}")
    for synonym, owners in found.shared[:limit]:
        lines.append(f"the synonym {synonym!r} names several categories: {' | '.join(owners)}")
    for stray in found.strays[:limit]:
        lines.append(
            f"the synonym {stray.synonym!r} of {stray.own!r} (cosine {stray.cosine_own:.3f}) is "
            f"closer to {stray.other!r} ({stray.cosine_other:.3f})"
        )
    return "\n".join(lines)

"""Geometric mean of the class probabilities that several embeddings of a region give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_values

__all__ = ["Ensemble"]

SOFTMAXES = ("categories", "void")
EMPTY = ("count", "first", "one")


@dataclass(frozen=True)
class Ensemble:
    """Rule that combines the class probabilities of S sources for each proposal.

    The product over the sources of ``probability ** exponent`` is the score of a category. The
    exponents differ for categories seen in training and for others, because a trained source knows
    the seen ones and CLIP alone knows the rest (FC-CLIP, NeurIPS 2023, eq. 7).

    Args:
        seen: exponent of each source for categories seen in training.
        unseen: exponent of each source for other categories.
        softmax: softmax of each source: over the ``categories``, or with the ``void`` logit as one
            more class, which is then dropped without renormalising. One value holds for all.
        first_void: True if the void logit of the first source serves all sources (ZegFormer).
        mean_seen: True to replace the probabilities of the seen categories in all sources but the
            first by their mean (ZegFormer).
        renormalize: True to normalise the products over the categories and to scale them by the
            probability, in the first source, that the proposal is not void (FC-CLIP, ODISE, EBSeg).
            False takes the products as they are (OVSeg, SCAN).
        product_floor: number added to a product.
        floor: number added to a renormalised share, before the last normalisation.
        empty: proposals with an empty mask: ``count`` treats them as all others, ``first`` gives
            the whole weight to the first source, ``one`` takes 1 as the probability of every
            category in the other sources, so that these proposals count more (OVSeg's code).

    Raises:
        ValueError: an unknown option, a negative number, or different numbers of sources.
    """

    seen: tuple[float, ...]
    unseen: tuple[float, ...]
    softmax: tuple[str, ...] = ("categories",)
    first_void: bool = False
    mean_seen: bool = False
    renormalize: bool = True
    product_floor: float = 0.0
    floor: float = 1e-8
    empty: str = "count"

    def __post_init__(self) -> None:
        check_values(Ensemble, vars(self), "ensemble")
        if len(self.seen) != len(self.unseen) or len(self.softmax) not in (1, len(self.seen)):
            raise ValueError(
                f"ensemble expects one exponent of each source in seen and unseen, and one softmax "
                f"or one of each source, got {len(self.seen)}, {len(self.unseen)} and "
                f"{len(self.softmax)}."
            )
        wrong = [name for name in self.softmax if name not in SOFTMAXES]
        if wrong or self.empty not in EMPTY:
            raise ValueError(
                f"ensemble expects softmax of {SOFTMAXES} and empty of {EMPTY}, got "
                f"{excerpt(list(self.softmax))} and {excerpt(self.empty)}."
            )
        numbers = (*self.seen, *self.unseen, self.product_floor, self.floor)
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError(
                f"ensemble expects finite exponents and floors of at least 0, got "
                f"{excerpt([number for number in numbers if not 0 <= number < math.inf])}."
            )

    def log_shares(
        self,
        logits: Sequence[Tensor],
        voids: Sequence[Tensor],
        seen_BK: Tensor,
        valid_BK: Tensor,
        filled_BQ: Tensor | None,
    ) -> Tensor:
        """Logarithms (B, K, Q) of the shares.

        Args:
            logits: class logits of each source, (B, K, Q).
            voids: void logits of each source, (B, Q); minus infinity without a void class.
            seen_BK: True for categories seen in training.
            valid_BK: False in padding slots.
            filled_BQ: False for proposals with an empty mask; None if there are none.
        """
        kinds = self.softmax * (len(logits) if len(self.softmax) == 1 else 1)
        total_BKQ: Tensor | float = 0.0
        for source, (logits_BKQ, kind) in enumerate(zip(logits, kinds, strict=True)):
            void_BQ = voids[0 if self.first_void else source] if kind == "void" else None
            log_BKQ = log_probabilities(logits_BKQ, void_BQ, valid_BK)
            if source and self.mean_seen:
                log_BKQ = _with_mean_of_seen(log_BKQ, seen_BK & valid_BK)
            # tensors, because numbers would become single precision
            seen, unseen = (log_BKQ.new_full((), e[source]) for e in (self.seen, self.unseen))
            exponent_BKQ = torch.where(seen_BK, seen, unseen)[:, :, None]
            if filled_BQ is not None and self.empty != "count":
                alone = 1.0 if source == 0 else 0.0
                empty_BK1 = exponent_BKQ if self.empty == "one" and source == 0 else alone
                exponent_BKQ = torch.where(filled_BQ[:, None], exponent_BKQ, empty_BK1)
            total_BKQ = total_BKQ + exponent_BKQ * log_BKQ
        assert isinstance(total_BKQ, Tensor)
        if self.product_floor:
            total_BKQ = (total_BKQ.exp() + self.product_floor).log()
        if not self.renormalize:
            return total_BKQ
        return self._renormalized(total_BKQ, logits[0], voids[0], valid_BK)

    def _renormalized(
        self, total_BKQ: Tensor, logits_BKQ: Tensor, void_BQ: Tensor, valid_BK: Tensor
    ) -> Tensor:
        """Logarithms of the shares, scaled by the probability that a proposal is not void."""
        padding_BK1 = ~valid_BK[:, :, None]
        share_BKQ = total_BKQ.masked_fill(padding_BK1, -torch.inf).softmax(1)
        logits_BKQ = logits_BKQ.masked_fill(padding_BK1, -torch.inf)
        every_BRQ = torch.cat([logits_BKQ, void_BQ[:, None]], dim=1)
        void_B1Q = every_BRQ.softmax(1)[:, -1:]
        share_BKQ = (share_BKQ * (1 - void_B1Q) + self.floor).masked_fill(padding_BK1, 0)
        return (share_BKQ / (share_BKQ.sum(1, keepdim=True) + void_B1Q + self.floor)).log()


def log_probabilities(logits_BKQ: Tensor, void_BQ: Tensor | None, valid_BK: Tensor) -> Tensor:
    """Logarithm (B, K, Q) of a softmax over the valid categories, and void if it is given.

    Padding slots hold 0.
    """
    padding_BK1 = ~valid_BK[:, :, None]
    every_BRQ = logits_BKQ.masked_fill(padding_BK1, -torch.inf)
    if void_BQ is not None:
        every_BRQ = torch.cat([every_BRQ, void_BQ[:, None]], dim=1)
    log_BKQ = every_BRQ.log_softmax(1)[:, : logits_BKQ.shape[1]]
    return log_BKQ.masked_fill(padding_BK1, 0.0)


def _with_mean_of_seen(log_BKQ: Tensor, seen_BK: Tensor) -> Tensor:
    """Replaces the probabilities of seen categories by their mean over these categories."""
    seen_BK1 = seen_BK[:, :, None]
    sum_B1Q = (log_BKQ.exp() * seen_BK1).sum(1, keepdim=True)
    mean_B1Q = sum_B1Q / seen_BK1.sum(1, keepdim=True).clamp(min=1)
    return torch.where(seen_BK1, mean_B1Q.log(), log_BKQ)

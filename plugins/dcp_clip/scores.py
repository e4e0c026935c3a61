"""Scores of cells and of the image against a whole vocabulary (eq. 1 and 2), some words at a time.

No tensor of batch x vocabulary x cells is made: each function walks over the vocabulary in chunks
and keeps, for every cell, only what it has found so far. Float32 whatever the features are.

The arg max of eq. 3 needs no softmax: ``softmax_k(x) * w_k`` is largest where ``x_k + log w_k`` is,
because a cell's normaliser is the same for all categories. In logarithms nothing underflows either.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.layers.linear import linear
from ovss.structures import ImageFeatures, TextFeatures

__all__ = ["CellScores", "image_cosines"]


def text_rows(text: TextFeatures, ensemble: str) -> Tensor:
    """(T, C), one row for each category.

    ``mean_embed``: the normalised mean embedding; ``mean_sim``: its mean as it is, whose product
    with a cell is the mean of the cosines of the templates.
    """
    return F.normalize(text.mean_TC, dim=1) if ensemble == "mean_embed" else text.mean_TC


def image_cosines(image: ImageFeatures, rows_TC: Tensor) -> Tensor:
    """(B, T): the image embedding against every category."""
    return F.normalize(image.pooled_BC.float(), dim=1) @ rows_TC.T


class CellScores:
    """Cells against a vocabulary.

    Args:
        image: whose dense tokens are scored.
        rows_TC: see `text_rows`.
        temperature: cosines are multiplied by it.
        chunk: categories at a time.
    """

    def __init__(
        self, image: ImageFeatures, rows_TC: Tensor, temperature: float, chunk: int
    ) -> None:
        dense_BNC = image.dense_BChw.flatten(2).transpose(1, 2).float()
        self.cells_BNC = F.normalize(dense_BNC, dim=2) * temperature
        self.rows_TC = rows_TC
        self.chunk = chunk

    def logits(self) -> Iterator[tuple[slice, Tensor]]:
        """Chunks of the vocabulary with their (B, N, t) logits."""
        for start in range(0, len(self.rows_TC), self.chunk):
            part = slice(start, min(start + self.chunk, len(self.rows_TC)))
            yield part, linear(self.cells_BNC, self.rows_TC[part])

    def normaliser(self) -> Tensor:
        """(B, N): log of the sum over the vocabulary, the softmax's denominator."""
        total_BN = self.cells_BNC.new_full(self.cells_BNC.shape[:2], -torch.inf)
        for _, logits_BNt in self.logits():
            total_BN = torch.logaddexp(total_BN, logits_BNt.logsumexp(2))
        return total_BN

    def best_weighted(self, log_weight_BT: Tensor | None) -> Tensor:
        """(B, N): arg max of S_p times a weight for each category; -1 where all weights are 0."""
        best = _Best(self.cells_BNC)
        for part, scores_BNt in self.logits():
            if log_weight_BT is not None:
                scores_BNt += log_weight_BT[:, None, part]
            best.see(scores_BNt, part.start)
        return best.index_BN

    def best_projected(self, image_BT: Tensor) -> Tensor:
        """(B, N): arg max of S_p without its component along the image's scores."""
        total_BN1 = self.normaliser()[..., None]
        along_BN1 = torch.zeros_like(total_BN1)
        for part, logits_BNt in self.logits():
            along_BN1 += (logits_BNt - total_BN1).exp() @ image_BT[:, part, None]
        along_BN1 /= image_BT.square().sum(1).clamp(min=1e-30)[:, None, None]
        best = _Best(self.cells_BNC)
        for part, logits_BNt in self.logits():
            scores_BNt = (logits_BNt - total_BN1).exp()
            best.see(scores_BNt - along_BN1 * image_BT[:, None, part], part.start)
        return best.index_BN

    def highest(self) -> Tensor:
        """(B, T): the largest S_p of each category over the cells."""
        total_BN1 = self.normaliser()[..., None]
        parts = [(logits_BNt - total_BN1).amax(1).exp() for _, logits_BNt in self.logits()]
        return torch.cat(parts, dim=1)


class _Best:
    """A running arg max over chunks; the lower category wins a tie."""

    def __init__(self, cells_BNC: Tensor) -> None:
        self.value_BN = cells_BNC.new_full(cells_BNC.shape[:2], -torch.inf)
        self.index_BN = torch.full_like(self.value_BN, -1, dtype=torch.long)

    def see(self, scores_BNt: Tensor, start: int) -> None:
        value_BN, index_BN = scores_BNt.max(2)
        better_BN = value_BN > self.value_BN
        self.value_BN = torch.where(better_BN, value_BN, self.value_BN)
        self.index_BN = torch.where(better_BN, index_BN + start, self.index_BN)

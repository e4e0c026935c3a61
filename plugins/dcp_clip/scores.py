"""Scores of cells and images against a whole vocabulary (eq. 1 and 2), computed in chunks.

No tensor of batch x vocabulary x cells is created. Each function goes through the vocabulary chunk
by chunk and keeps only a running result for every cell. All scores are float32, independent of the
type of the features.

The arg max of eq. 3 does not need the softmax: ``softmax_k(x) * w_k`` is largest where
``x_k + log w_k`` is, because a cell's normaliser is the same for all categories. Logarithms also
avoid underflow.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.kernels.portions import equal_slices
from ovss.layers.chunks import rows_at_once
from ovss.layers.linear import linear
from ovss.structures import ImageFeatures, TextFeatures

__all__ = ["CellScores", "image_cosines"]


def text_rows(text: TextFeatures, ensemble: str) -> Tensor:
    """Text embeddings (T, C), averaged over the templates.

    Args:
        text: text features of the vocabulary.
        ensemble: ``mean_embed`` for the normalised mean embedding, or ``mean_sim`` for the mean
            without normalisation, whose product with a cell is the mean cosine of the templates.
    """
    return F.normalize(text.mean_TC, dim=1) if ensemble == "mean_embed" else text.mean_TC


def image_cosines(image: ImageFeatures, rows_TC: Tensor) -> Tensor:
    """Cosines (B, T) of the image embedding with every category."""
    return F.normalize(image.pooled_BC.float(), dim=1) @ rows_TC.T


class CellScores:
    """Scores of image cells against a vocabulary.

    Args:
        image: features whose dense tokens are scored.
        rows_TC: result of `text_rows`.
        temperature: factor of the cosines.
        chunk: categories processed at a time.
    """

    def __init__(
        self, image: ImageFeatures, rows_TC: Tensor, temperature: float, chunk: int
    ) -> None:
        dense_BNC = image.dense_BChw.flatten(2).transpose(1, 2).float()
        self.cells_BNC = F.normalize(dense_BNC, dim=2) * temperature
        self.rows_TC = rows_TC
        self.chunk = chunk

    def logits(self) -> Iterator[tuple[slice, Tensor]]:
        """Yields chunks of the vocabulary with their logits (B, N, t)."""
        row = self.cells_BNC.shape[0] * self.cells_BNC.shape[1]
        chunk, count = rows_at_once(self.chunk, self.cells_BNC, row), self.rows_TC.shape[0]
        for part in equal_slices(0, count, chunk):
            yield part, linear(self.cells_BNC, self.rows_TC[part])

    def normaliser(self) -> Tensor:
        """Logarithm (B, N) of the softmax's denominator over the whole vocabulary."""
        total_BN = self.cells_BNC.new_full(self.cells_BNC.shape[:2], -torch.inf)
        for _, logits_BNt in self.logits():
            total_BN = torch.logaddexp(total_BN, logits_BNt.logsumexp(2))
        return total_BN

    def best_weighted(self, log_weight_BT: Tensor | None) -> Tensor:
        """Arg max (B, N) of S_p times a weight for each category.

        Args:
            log_weight_BT: logarithms of the weights; None for equal weights.

        Returns:
            Category of each cell; -1 where all weights are 0.
        """
        best = _Best(self.cells_BNC)
        for part, scores_BNt in self.logits():
            if log_weight_BT is not None:
                scores_BNt += log_weight_BT[:, None, part]
            best.update(scores_BNt, part.start)
        return best.index_BN

    def best_projected(self, image_BT: Tensor) -> Tensor:
        """Arg max (B, N) of S_p without its component along the image's scores.

        The normaliser, the component and the arg max each take one pass over the vocabulary.
        """
        total_BN1 = self.normaliser()[..., None]
        along_BN1 = torch.zeros_like(total_BN1)
        for part, logits_BNt in self.logits():
            along_BN1 += (logits_BNt - total_BN1).exp() @ image_BT[:, part, None]
        along_BN1 /= image_BT.square().sum(1).clamp(min=1e-30)[:, None, None]
        best = _Best(self.cells_BNC)
        for part, logits_BNt in self.logits():
            scores_BNt = (logits_BNt - total_BN1).exp()
            best.update(scores_BNt - along_BN1 * image_BT[:, None, part], part.start)
        return best.index_BN

    def highest(self) -> Tensor:
        """Largest S_p (B, T) of each category over the cells."""
        total_BN1 = self.normaliser()[..., None]
        parts = [(logits_BNt - total_BN1).amax(1).exp() for _, logits_BNt in self.logits()]
        return torch.cat(parts, dim=1)


class _Best:
    """Running arg max over chunks, where the lower category wins a tie."""

    def __init__(self, cells_BNC: Tensor) -> None:
        self.value_BN = cells_BNC.new_full(cells_BNC.shape[:2], -torch.inf)
        self.index_BN = torch.full_like(self.value_BN, -1, dtype=torch.long)

    def update(self, scores_BNt: Tensor, start: int) -> None:
        """Adds the scores of a chunk of the vocabulary that begins at `start`."""
        value_BN, index_BN = scores_BNt.max(2)
        better_BN = value_BN > self.value_BN
        self.value_BN = torch.where(better_BN, value_BN, self.value_BN)
        self.index_BN = torch.where(better_BN, index_BN + start, self.index_BN)

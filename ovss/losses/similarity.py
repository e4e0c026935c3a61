"""Loss that gives regions of different categories the similarities of their texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

__all__ = ["similarity_loss"]


def similarity_loss(
    embed_BQC: Tensor, unit_TC: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """Mean squared difference between the products of embeddings and those of texts.

    EBSeg (CVPR 2024), eq. 11: the semantic structure consistency loss. The result is the mean over
    the images; an image without matched proposals counts as 0.

    Args:
        embed_BQC: embeddings of the proposals, with the length that they have.
        unit_TC: normalised text embeddings.
        pairs: for each image, matched proposals (N,) and their categories (N,).

    >>> import torch
    >>> matched = torch.tensor([0, 1])
    >>> similarity_loss(torch.ones(1, 2, 1), torch.eye(2), [(matched, matched)])
    tensor(0.5000)
    """
    total = embed_BQC.new_zeros(())
    for embed_QC, (query_N, category_N) in zip(embed_BQC, pairs, strict=True):
        if not query_N.shape[0]:
            continue
        chosen_NC, text_NC = embed_QC[query_N], unit_TC[category_N].to(embed_QC)
        total = total + F.mse_loss(chosen_NC @ chosen_NC.T, text_NC @ text_NC.T)
    return total / len(pairs)

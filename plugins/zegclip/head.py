"""Head of ZegCLIP: queries made of text and image, whose attention to the cells is the volume."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

__all__ = ["RelationshipHead"]


class QueryUpdate(nn.Module):
    """Layer in which queries attend to the cells, but not to each other.

    Args:
        dim: number of channels of queries and cells.
        heads: number of attention heads.
        expand: width of the MLP, in multiples of `dim`.
        dropout: dropout rate of the attention weights, of both outputs and inside the MLP.
    """

    def __init__(self, dim: int, heads: int, expand: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.enlarge, self.reduce = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries_BKC: Tensor, cells_BNC: Tensor) -> Tensor:
        """Computes the updated queries (B, K, C)."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(queries_BKC), self.key(cells_BNC), self.value(cells_BNC))
        )
        rate = self.rate if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        output_BKC = self.out(found.transpose(1, 2).flatten(2))
        queries_BKC = self.norm1(queries_BKC + self.dropout(output_BKC))
        output_BKC = self.reduce(self.dropout(F.relu(self.enlarge(queries_BKC))))
        return self.norm2(queries_BKC + self.dropout(output_BKC))


class MaskLogits(nn.Module):
    """Logits of attention, averaged over the heads.

    The mean over heads of products of parts of two vectors is the product of the whole vectors,
    divided by the number of heads. So heads need not be computed one by one.

    Args:
        dim: number of channels of queries and cells.
        heads: number of attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.scale = 1 / (heads * (dim / heads) ** 0.5)

    def forward(self, queries_BKC: Tensor, cells_BNC: Tensor) -> Tensor:
        """Computes the logits (B, K, N)."""
        return (self.scale * self.query(queries_BKC)) @ self.key(cells_BNC).transpose(1, 2)


@HEADS.register_module()
class RelationshipHead(AlignmentHead):
    """Head of ZegCLIP: relationship descriptor, and attention logits as the volume (D = 1).

    The descriptor of a category is [t * g, t] with its unit text embedding t, the mean over the
    prompts, and the unit image embedding g. The queries made of it attend to the unit cells in
    `layers` - 1 layers. The logits of a last attention are the output. A category does not see the
    others, so leaving categories out changes nothing for those that stay.

    Args:
        joint_dim: C of the encoder, also the width of the queries.
        layers: number of layers, including that of the logits.
        heads: number of attention heads.
        expand: width of the MLPs, in multiples of `joint_dim`.
        dropout: dropout rate in training.
        unit_scale: factor on unit vectors before linear maps read them; 1 in the authors' code.
            With the square root of `joint_dim`, cells and descriptor have entries of order 1, which
            a short training with a high rate needs.

    Raises:
        ValueError: a value out of range, or heads that do not divide `joint_dim`.
    """

    cost_dim = 1
    checkpointed = ("updates.*",)

    def __init__(
        self,
        joint_dim: int,
        layers: int = 3,
        heads: int = 8,
        expand: int = 4,
        dropout: float = 0.1,
        unit_scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("RelationshipHead", 1, layers=layers, heads=heads, expand=expand)
        check_range("RelationshipHead", 0, 1, dropout=dropout)
        if joint_dim % heads:
            raise ValueError(
                f"RelationshipHead expects heads that divide joint_dim, got heads={heads} and "
                f"joint_dim={joint_dim}. Change one of them."
            )
        if not unit_scale > 0:
            raise ValueError(
                f"RelationshipHead.unit_scale must be above 0, got {unit_scale}. Correct it."
            )
        self.joint_dim, self.unit_scale = joint_dim, unit_scale
        self.describe = nn.Linear(2 * joint_dim, joint_dim)
        self.updates = nn.ModuleList(
            QueryUpdate(joint_dim, heads, expand, dropout) for _ in range(layers - 1)
        )
        self.masks = MaskLogits(joint_dim, heads)

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        unit_TC = F.normalize(text.trained_mean_TC, dim=1)
        queries_BKC = self.queries(image.pooled_BC, selection.gather(unit_TC))
        dense_BNC = image.dense_BChw.flatten(2).transpose(1, 2)
        cells_BNC = self.unit_scale * F.normalize(dense_BNC, dim=2)
        for update in self.updates:
            queries_BKC = update(queries_BKC, cells_BNC)
        logits_BKN = self.masks(queries_BKC, cells_BNC)
        grid = (image.dense_BChw.shape[2], image.dense_BChw.shape[3])
        return Alignment(logits_BKN.unflatten(2, grid)[:, :, None], image, text, selection)

    def queries(self, pooled_BC: Tensor, unit_BKC: Tensor) -> Tensor:
        """First queries (B, K, C).

        Args:
            pooled_BC: image embeddings.
            unit_BKC: unit text embeddings of the kept categories.
        """
        text_BKC = self.unit_scale * unit_BKC
        related_BKC = text_BKC * (self.unit_scale * F.normalize(pooled_BC, dim=1))[:, None]
        return self.describe(torch.cat([related_BKC, text_BKC], dim=2))

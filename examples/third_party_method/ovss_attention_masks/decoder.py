"""Decoder whose masks are the attention of each category to the feature cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss import DECODERS, Alignment, Decoder, Masks
from ovss.ops import resize


class AttentionToMask(nn.Module):
    """Cross-attention from categories to cells whose logits are masks (SegViT, arXiv 2210.05844).

    Args:
        dim: channels of queries and cells.
        heads: number of attention heads.
        expand: width of the MLP, in multiples of `dim`.
        average_heads: True to take the mean of the heads' logits as the mask, False for their sum.
    """

    def __init__(self, dim: int, heads: int, expand: int, average_heads: bool) -> None:
        super().__init__()
        self.heads, self.average_heads = heads, average_heads
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.out = nn.Linear(dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, expand * dim), nn.ReLU(), nn.Linear(expand * dim, dim)
        )

    def forward(self, queries_BKc: Tensor, cells_BNc: Tensor) -> tuple[Tensor, Tensor]:
        """Updates the queries of the categories; also returns their mask logits (B, K, N)."""
        query, key, value = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project, x in (
                (self.query, queries_BKc),
                (self.key, cells_BNc),
                (self.value, cells_BNc),
            )
        )
        logits_BhKN = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        attended_BKc = (logits_BhKN.softmax(3) @ value).transpose(1, 2).flatten(2)
        queries_BKc = self.norm1(queries_BKc + self.out(attended_BKc))
        queries_BKc = self.norm2(queries_BKc + self.mlp(queries_BKc))
        return queries_BKc, logits_BhKN.mean(1) if self.average_heads else logits_BhKN.sum(1)


@DECODERS.register_module()
class AttentionToMaskDecoder(Decoder):
    """Decoder of ZegCLIP: queries made of text and image attend to cells, which gives the masks.

    The query of a category comes from the relationship descriptor [t * g, t] of its text embedding
    t and the image embedding g (section 3.3 of the paper). The descriptor relates the text to the
    image, which helps with categories that do not occur in training. Categories do not attend to
    each other, so a mask depends on the rest of the vocabulary through the selector only. The cost
    volume is not used.

    Args:
        joint_dim: C of the encoder.
        dim: channels of queries and cells.
        layers: number of layers. The masks of the last one are the output; those of the others are
            auxiliary outputs in training.
        heads: number of attention heads.
        expand: width of the MLPs, in multiples of `dim`.
        factor: pixels of the mask per feature cell, along each side.
        project_cells: True to project and normalise the cells, False to attend to the encoder's
            unit vectors, as the authors do.
        average_heads: True to take the mean of the heads' logits as the mask, as the authors do,
            False for their sum.

    Raises:
        ValueError: `heads` does not divide `dim`, `layers` is below 1, or `dim` differs from
            `joint_dim` without `project_cells`.
    """

    def __init__(
        self,
        joint_dim: int,
        dim: int,
        layers: int = 3,
        heads: int = 8,
        expand: int = 4,
        factor: int = 2,
        project_cells: bool = True,
        average_heads: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1 or dim % heads:
            raise ValueError(
                f"AttentionToMaskDecoder expects at least one layer and heads that divide dim, got "
                f"layers={layers}, heads={heads} and dim={dim}"
            )
        if not project_cells and dim != joint_dim:
            raise ValueError(
                f"AttentionToMaskDecoder expects dim={joint_dim} (joint_dim) if "
                f"project_cells=False, got dim={dim}. Set both to the same number"
            )
        self.joint_dim, self.factor = joint_dim, factor
        self.words = nn.Linear(2 * joint_dim, dim)
        self.project_cells = project_cells
        if project_cells:
            self.cells = nn.Sequential(nn.Linear(joint_dim, dim), nn.LayerNorm(dim))
        self.layers = nn.ModuleList(
            AttentionToMask(dim, heads, expand, average_heads) for _ in range(layers)
        )

    def forward(self, aligned: Alignment) -> Masks:
        features, selection = aligned.features, aligned.selection
        text_BKC = F.normalize(aligned.text.rows(selection.index_BK).mean(2), dim=2)
        image_B1C = F.normalize(features.pooled_BC, dim=1)[:, None]
        # The entries of a unit vector are of order C^-1/2 and those of a product of two of order
        # C^-1. The scale brings both parts of the descriptor to order 1.
        scale = self.joint_dim**0.5
        related_BKC = text_BKC * image_B1C * scale
        queries_BKc = self.words(scale * torch.cat([related_BKC, text_BKC], dim=2))
        dense_BNC = F.normalize(features.dense_BChw.flatten(2).transpose(1, 2), dim=2)
        cells_BNc = self.cells(scale * dense_BNC) if self.project_cells else dense_BNC

        height, width = features.dense_BChw.shape[-2:]
        masks = []
        for layer in self.layers:
            queries_BKc, logits_BKN = layer(queries_BKc, cells_BNc)
            masks.append(logits_BKN.unflatten(2, (height, width)))
        size = (self.factor * height, self.factor * width)
        *aux, last_BKhw = masks
        return Masks(resize(last_BKhw, size), selection, tuple(aux))

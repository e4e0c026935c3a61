"""AttentionToMaskDecoder: what each word attends to is its mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss import DECODERS, Alignment, Decoder, Masks
from ovss.ops import resize


class AttentionToMask(nn.Module):
    """Words look at cells; the logits of that attention are masks (SegViT, arXiv 2210.05844).

    Args:
        dim: channels of words and cells.
        heads: attention heads; the mask is the sum of their logits.
        expand: width of the MLP, times `dim`.
        average_heads: make the mask the mean of the heads' logits instead of their sum.
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

    def forward(self, words_BKc: Tensor, cells_BNc: Tensor) -> tuple[Tensor, Tensor]:
        """Words that have seen the picture, and their masks (B, K, N)."""
        query, key, value = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project, x in (
                (self.query, words_BKc),
                (self.key, cells_BNc),
                (self.value, cells_BNc),
            )
        )
        logits_BhKN = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        seen_BKc = (logits_BhKN.softmax(3) @ value).transpose(1, 2).flatten(2)
        words_BKc = self.norm1(words_BKc + self.out(seen_BKc))
        words_BKc = self.norm2(words_BKc + self.mlp(words_BKc))
        return words_BKc, logits_BhKN.mean(1) if self.average_heads else logits_BhKN.sum(1)


@DECODERS.register_module()
class AttentionToMaskDecoder(Decoder):
    """ZegCLIP's decoder: words matched with the picture become queries, their attention is masks.

    A word t and the picture's embedding g make the relationship descriptor [t * g, t] (section
    3.3 of the paper), so that a word never trained on still says how it relates to what is seen.
    Words do not look at each other here: a mask does not depend on which other words are asked,
    except through the selector. The cost volume is not read.

    Args:
        joint_dim: C of the encoder.
        dim: channels inside.
        layers: each gives masks; the last one's are the output, the others' train beside it.
        heads: attention heads.
        expand: width of the MLPs, times `dim`.
        factor: how many pixels of the mask a feature cell becomes, per side.
        project_cells: False: attend to the encoder's unit cells as they are, as the authors do.
        average_heads: True: the mask is the mean of the heads' logits, as the authors have it.

    Raises:
        ValueError: heads do not divide `dim`, there is no layer, or cells that are not projected
            have another number of channels than `dim`.
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
                f"AttentionToMaskDecoder: at least one layer, and heads must divide dim, got "
                f"layers={layers}, heads={heads}, dim={dim}"
            )
        if not project_cells and dim != joint_dim:
            raise ValueError(
                f"AttentionToMaskDecoder: expected dim={joint_dim} (joint_dim) because "
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
        image, selection = aligned.features, aligned.selection
        text_BKC = F.normalize(selection.gather(aligned.text.embeds_TPC).mean(2), dim=2)
        picture_B1C = F.normalize(image.pooled_BC, dim=1)[:, None]
        # Unit vectors have entries of the order C^-1/2, which their products would square.
        scale = self.joint_dim**0.5
        related_BKC = text_BKC * picture_B1C * scale
        words_BKc = self.words(scale * torch.cat([related_BKC, text_BKC], dim=2))
        dense_BNC = F.normalize(image.dense_BChw.flatten(2).transpose(1, 2), dim=2)
        cells_BNc = self.cells(scale * dense_BNC) if self.project_cells else dense_BNC

        height, width = image.dense_BChw.shape[-2:]
        masks = []
        for layer in self.layers:
            words_BKc, logits_BKN = layer(words_BKc, cells_BNc)
            masks.append(logits_BKN.unflatten(2, (height, width)))
        size = (self.factor * height, self.factor * width)
        *aux, last_BKhw = masks
        return Masks(resize(last_BKhw, size), selection, tuple(aux))

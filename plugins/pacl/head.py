"""PatchAlignedHead: patches, moved by a small trained network, against the categories."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.layers.linear import Linear
from ovss.ops import cosine_volume
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

__all__ = ["PatchAlignedHead"]


class PatchEmbedder(nn.Module):
    """Residual block from patch tokens to the joint space: two layers and a linear shortcut.

    Args:
        width: number of channels of a patch token.
        dim: number of channels of the joint space.
        norm: True to normalise the tokens first.
    """

    def __init__(self, width: int, dim: int, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.first = Linear(width, dim)
        self.second = Linear(dim, dim)
        self.shortcut = Linear(width, dim)

    def forward(self, x_Bhwc: Tensor) -> Tensor:
        """Embeds tokens (..., width) -> (..., dim)."""
        x_Bhwc = self.norm(x_Bhwc)
        return self.second(F.relu(self.first(x_Bhwc))) + self.shortcut(x_Bhwc)


@HEADS.register_module()
class PatchAlignedHead(AlignmentHead):
    """Cosines of trained patch embeddings with the categories (PACL, CVPR 2023, arXiv 2212.04994).

    The encoder stays frozen. A category is the normalised mean of its embeddings over any number of
    templates.

    Args:
        joint_dim: C of the encoder.
        level_dim: channels of the only tapped level of the encoder, from whose tokens the embedder
            starts; None starts from the dense tokens.
        norm: True to normalise the tokens in front of the embedder.
        embed_text: True to move the text embeddings by a trained linear map as well.
    """

    cost_dim = 1
    checkpointed = ("patches",)

    def __init__(
        self,
        joint_dim: int,
        level_dim: int | None = None,
        norm: bool = True,
        embed_text: bool = False,
    ) -> None:
        super().__init__()
        width = joint_dim if level_dim is None else level_dim
        check_range("PatchAlignedHead", 1, joint_dim=joint_dim, level_dim=width)
        self.joint_dim = joint_dim
        self.level_dims = None if level_dim is None else (level_dim,)
        self.patches = PatchEmbedder(width, joint_dim, norm)
        self.text = Linear(joint_dim, joint_dim) if embed_text else None

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        tokens_BDhw = image.levels[-1] if self.level_dims else image.dense_BChw
        embed_BChw = self.patches(tokens_BDhw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        embeds_T1C = F.normalize(text.trained_mean_TC, dim=1)[:, None]
        if self.text is not None:
            embeds_T1C = F.normalize(self.text(embeds_T1C), dim=2)
        volume_BK1hw = cosine_volume(embed_BChw, selection.gather(embeds_T1C))
        return Alignment(volume_BK1hw, image, text, selection)

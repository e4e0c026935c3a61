from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


@HEADS.register_module()
class DotProductHead(AlignmentHead):
    """Products of cells that are not normalised with texts, as a linear classifier has them.

    Texts are the mean over the prompts. The dense tokens give the first channel of the volume, and
    levels of the encoder in the joint space give further ones.

    Args:
        joint_dim: C of the encoder.
        levels: number of levels to compare, each with C channels.
        lengths: True to multiply the unit embeddings by their lengths, which the first level of the
            text then holds.

    Raises:
        ValueError: a number out of range.
    """

    checkpointed = ("",)

    def __init__(self, joint_dim: int, levels: int = 0, lengths: bool = False) -> None:
        super().__init__()
        check_range("DotProductHead", 1, joint_dim=joint_dim)
        check_range("DotProductHead", 0, levels=levels)
        self.joint_dim, self.cost_dim, self.lengths = joint_dim, 1 + levels, lengths
        if levels:
            self.level_dims = (joint_dim,) * levels

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        """
        Raises:
            ValueError: `lengths` and a text without levels.
        """
        text_TC = text.trained_mean_TC
        if self.lengths:
            if not text.levels:
                raise ValueError(
                    "DotProductHead(lengths=True) expects the lengths of the embeddings as the "
                    "first level of the text, got a text without levels. Set lengths=False."
                )
            text_TC = text_TC * text.levels[0].flatten(1).mean(1, keepdim=True)
        text_BKC = selection.gather(text_TC)
        maps = (image.dense_BChw, *image.levels)[: self.cost_dim]
        volume = [_product(dense_BChw, text_BKC) for dense_BChw in maps]
        return Alignment(torch.stack(volume, dim=2), image, text, selection)


def _product(dense_BChw: Tensor, text_BKC: Tensor) -> Tensor:
    """Products (B, K, h, w) of every cell with every text."""
    grid = dense_BChw.shape[2:]
    return (text_BKC.to(dense_BChw.dtype) @ dense_BChw.flatten(2)).unflatten(2, grid)

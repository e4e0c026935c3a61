"""Proposer with the architecture of MaskFormer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ovss.interfaces import Proposer
from ovss.io.option_values import check_range
from ovss.layers.backbones import build_backbone
from ovss.layers.class_embedding import ReLUMLP
from ovss.layers.maskformer import FPNPixelDecoder, QueryDecoder
from ovss.layers.pixels import pad_to_multiple, place_in_multiple, register_pixel_statistics
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Padding, Proposals

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
CELL = 32
MASK_LAYERS = 3


@PROPOSERS.register_module()
class MaskFormerProposer(Proposer):
    """Proposes regions by learned queries (MaskFormer, NeurIPS 2021), and embeds them.

    Queries attend to the coarsest map. A feature pyramid gives features at the finest map, and the
    product of a query with them is its mask. The two-stage methods map the query to the joint space
    in addition, instead of classifying it.

    Maps come from a backbone of the proposer's own, which sees pixels normalised as for ImageNet
    and padded with zeros to a multiple of 32; or from the levels of the encoder.

    Args:
        joint_dim: number of channels of the joint space; None gives masks without embeddings.
        backbone: config of a backbone, see `ovss.layers.backbones.build_backbone`; None reads the
            levels of the encoder.
        level_dims: number of channels of the encoder's levels, fine first; without a backbone.
        queries: Q, the number of proposals.
        dim: number of channels of queries and mask features, a multiple of 32.
        layers: number of layers of the query decoder.
        heads: number of attention heads.
        hidden: number of channels inside the feed-forward networks of the query decoder.
        class_hidden: number of channels inside the MLP that embeds a query; None for a linear map.
        dropout: dropout rate of the query decoder in training.
        trainable: False to freeze everything, without dropout.

    Raises:
        ValueError: an argument out of range, or not exactly one of `backbone` and `level_dims`.
    """

    any_level_scale = True
    checkpointed = ("backbone.stages.*.*", "backbone.layers.*.blocks.*")
    mean_311: Tensor
    std_311: Tensor

    def __init__(
        self,
        joint_dim: int | None = None,
        backbone: dict[str, Any] | None = None,
        level_dims: Sequence[int] = (),
        queries: int = 100,
        dim: int = 256,
        layers: int = 6,
        heads: int = 8,
        hidden: int = 2048,
        class_hidden: int | None = None,
        dropout: float = 0.1,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        check_range("MaskFormerProposer", 1, queries=queries, dim=dim, layers=layers, heads=heads)
        check_range("MaskFormerProposer", 1, hidden=hidden, class_hidden=class_hidden or 1)
        if (backbone is None) == (not level_dims) or dim % 32 or dim % heads:
            raise ValueError(
                f"MaskFormerProposer expects either a backbone or level_dims, and dim of a "
                f"multiple of 32 that its {heads} heads divide, got a backbone: "
                f"{backbone is not None}, level_dims={tuple(level_dims)} and dim={dim}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"MaskFormerProposer expects dropout in 0..1, got {dropout}.")
        self.backbone = None if backbone is None else build_backbone(backbone)
        self.level_dims = tuple(level_dims) or None
        dims = tuple(level_dims) if self.backbone is None else self.backbone.dims
        self.pixel_decoder = FPNPixelDecoder(dims, dim)
        dropout = dropout if trainable else 0.0
        self.decoder = QueryDecoder(dims[-1], dim, queries, layers, heads, hidden, dropout)
        self.mask_embed = ReLUMLP((dim,) * (MASK_LAYERS + 1))
        self.class_embed: ReLUMLP | None = None
        if joint_dim is not None:
            middle = () if class_hidden is None else (class_hidden,)
            self.class_embed = ReLUMLP((dim, *middle, joint_dim))
            self.sources, self.joint_dim = 1, joint_dim
        self.trainable = trainable
        if not trainable:
            self.requires_grad_(False)
        register_pixel_statistics(self, (MEAN, STD))

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """Proposes the regions of a batch of images.

        Args:
            features: features of the images; its levels are read without a backbone.
            image_B3HW: RGB in 0..255.

        Returns:
            Proposals, and those of earlier layers in training.
        """
        levels, padding = self._levels(features, image_B3HW)
        mask_features_BDhw = self.pixel_decoder(levels)
        every = self.training and self.trainable
        joint_dim = features.pooled_BC.shape[1]
        return Proposals.of_layers(
            [
                (self._masks(query_BQD, mask_features_BDhw), self._embeds(query_BQD, joint_dim))
                for query_BQD in self.decoder(levels[-1], every)
            ],
            padding,
        )

    def _levels(
        self, features: ImageFeatures, image_B3HW: Tensor
    ) -> tuple[Sequence[Tensor], Padding | None]:
        """Maps from which proposals are made, fine first, and the place of the image in them."""
        if self.backbone is None:
            return features.levels, features.padding
        padding = place_in_multiple(image_B3HW, CELL)
        pixels_B3HW = pad_to_multiple(image_B3HW, self.mean_311, self.std_311, padding)
        return self.backbone(pixels_B3HW), padding

    def _masks(self, query_BQD: Tensor, mask_features_BDhw: Tensor) -> Tensor:
        """Mask logits (B, Q, h, w) of the queries after one layer."""
        return torch.einsum("bqd,bdhw->bqhw", self.mask_embed(query_BQD), mask_features_BDhw)

    def _embeds(self, query_BQD: Tensor, joint_dim: int) -> Tensor:
        """Embeddings (B, Q, S, C) of the queries after one layer; S is 0 without `joint_dim`."""
        if self.class_embed is None:
            return query_BQD.new_zeros(*query_BQD.shape[:2], 0, joint_dim)
        return self.class_embed(query_BQD)[:, :, None]

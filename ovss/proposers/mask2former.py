"""Regions from learned queries (Mask2Former)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ovss.interfaces import Proposer
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.class_embedding import PooledClassEmbedding, QueryClassEmbedding
from ovss.layers.mask_queries import MaskQueryDecoder
from ovss.layers.pixel_decoder import PixelDecoder
from ovss.ops import resize
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

__all__ = ["Mask2FormerProposer"]

CLASS_EMBEDDINGS = ("pooled", "query")


@PROPOSERS.register_module()
class Mask2FormerProposer(Proposer):
    """Proposes a region for each learned query (Mask2Former, CVPR 2022).

    A pixel decoder lets the levels of the encoder exchange information by deformable attention. A
    query decoder turns learned queries into masks and into class embeddings in the joint space. In
    training it also gives the proposals of earlier layers.

    Args:
        level_dims: number of channels of each level of the encoder, fine first. The coarser levels,
            all but the first, attend to one another.
        joint_dim: number of channels of the class embeddings, which is that of the joint space.
        queries: number of proposals of an image.
        dim: number of channels of the pixel decoder and of the queries.
        heads: number of attention heads of both decoders.
        pixel_layers: number of layers of the pixel decoder.
        pixel_feedforward: number of hidden channels of the MLPs in these layers.
        points: points of deformable attention in each level.
        groups: number of groups of the group norms.
        layers: number of layers of the query decoder.
        feedforward: number of hidden channels of the MLPs in these layers.
        class_embedding: ``pooled`` makes the class embedding from the query and the mean of the
            fine features inside its mask (FC-CLIP), ``query`` from the query alone.
        class_hidden: hidden channels of the MLP of ``query``; ``pooled`` has `dim` twice.
        mask_scale: factor by which the masks are finer than the first level.

    Raises:
        ValueError: an argument out of range.
    """

    sources = 1
    any_level_scale = True
    checkpointed = ("pixels.layers.*", "queries.layers.*")
    compiled = ("queries.layers.*",)

    def __init__(
        self,
        level_dims: Sequence[int],
        joint_dim: int,
        queries: int = 100,
        dim: int = 256,
        heads: int = 8,
        pixel_layers: int = 6,
        pixel_feedforward: int = 1024,
        points: int = 4,
        groups: int = 32,
        layers: int = 9,
        feedforward: int = 2048,
        class_embedding: str = "pooled",
        class_hidden: Sequence[int] = (256, 256),
        mask_scale: int = 1,
    ) -> None:
        super().__init__()
        check_range("Mask2FormerProposer", 1, joint_dim=joint_dim, mask_scale=mask_scale)
        check_range("Mask2FormerProposer", 1, class_hidden=min(class_hidden, default=1))
        if class_embedding not in CLASS_EMBEDDINGS:
            raise ValueError(
                f"Mask2FormerProposer.class_embedding must be one of {CLASS_EMBEDDINGS}, got "
                f"{excerpt(class_embedding)}."
            )
        self.level_dims, self.joint_dim = tuple(level_dims), joint_dim
        self.mask_scale = mask_scale
        self.pixels = PixelDecoder(
            level_dims, dim, None, heads, pixel_layers, points, pixel_feedforward, groups
        )
        embedding: nn.Module
        if class_embedding == "pooled":
            embedding = PooledClassEmbedding(dim, dim, joint_dim)
        else:
            embedding = QueryClassEmbedding((dim, *class_hidden, joint_dim))
        levels = len(level_dims) - 1
        self.queries = MaskQueryDecoder(
            embedding, queries, dim, None, heads, layers, levels, feedforward
        )

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """Computes the proposals of a batch of images; the pixels are not read."""
        first, *coarse = features.levels
        height, width = first.shape[-2:]
        first = resize(first, (height * self.mask_scale, width * self.mask_scale))
        layers = self.queries(*self.pixels([first, *coarse]))
        return Proposals.of_layers(
            [(layer.mask_BQhw, layer.class_BQC[:, :, None]) for layer in layers], features.padding
        )

"""PCADecoder: aggregates a cost volume over space and over categories in parallel."""

from __future__ import annotations

import torch
from ovss_plugins.cat_seg.classes import ClassAggregation
from ovss_plugins.cat_seg.spatial import SpatialAggregation
from ovss_plugins.cat_seg.volume import (
    EmbeddedVolume,
    add_guidance,
    add_upsampling,
    decode_volume,
)
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.layers.chunks import rows_at_once
from ovss.layers.guided import map_chunks
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks

from .fusion import ExpertFusion

__all__ = ["PCADecoder", "ParallelBlock", "overlap"]


class ParallelBlock(nn.Module):
    """Spatial and class aggregation of the same input, fused by experts.

    Args:
        spatial: spatial aggregation.
        classes: class aggregation.
        fusion: fusion of the two streams.
    """

    def __init__(
        self, spatial: SpatialAggregation, classes: ClassAggregation, fusion: ExpertFusion
    ) -> None:
        super().__init__()
        self.spatial = spatial
        self.classes = classes
        self.fusion = fusion

    def forward(
        self, volumes: list[EmbeddedVolume], pool: int, chunk: int
    ) -> tuple[list[EmbeddedVolume], Tensor]:
        """Aggregates the volumes of some images.

        Args:
            volumes: one volume for each image or group of images; statistics in training are those
                of all of them.
            pool: see `ClassAggregation`.
            chunk: number of maps processed at a time without gradients.

        Returns:
            The fused volumes, and both streams of all images, (N, h, w, 2 c).
        """
        streams = [
            torch.cat(
                [
                    self.spatial(volume.x_Khwc, volume.appearance_hwc, chunk, volume.image_K),
                    self.classes(volume.x_Khwc, volume.text_Kc, pool, chunk, volume.counts),
                ],
                dim=-1,
            )
            for volume in volumes
        ]
        both_Nhwc = torch.cat(streams) if len(streams) > 1 else streams[0]
        row = both_Nhwc[0].numel() * self.fusion.experts
        fused_Nhwc = map_chunks(self.fusion, both_Nhwc, rows_at_once(chunk, both_Nhwc, row))
        parts = fused_Nhwc.split([volume.x_Khwc.shape[0] for volume in volumes])
        fused = [volume.with_maps(x_Khwc) for volume, x_Khwc in zip(volumes, parts, strict=True)]
        return fused, both_Nhwc


def overlap(both_Nhwc: Tensor) -> Tensor:
    """Mean squared cosine between the two streams, over all maps and cells.

    Args:
        both_Nhwc: spatial stream and class stream, one after the other.
    """
    spatial_Nhwc, classes_Nhwc = both_Nhwc.float().chunk(2, dim=-1)
    product_Nhw = (spatial_Nhwc * classes_Nhwc).sum(-1)
    # the norms are enlarged, not clamped, as in the authors' code
    length_Nhw = (spatial_Nhwc.norm(dim=-1) + 1e-6) * (classes_Nhwc.norm(dim=-1) + 1e-6)
    return (product_Nhw / length_Nhw).square().mean()


@DECODERS.register_module()
class PCADecoder(Decoder):
    """Parallel cost aggregation (PCA-Seg, CVPR 2026, arXiv 2603.17520, and its released code).

    Embedding, guidance, attention and upsampling are those of CAT-Seg. A layer has two parallel
    blocks, one after the other. In each, spatial and class aggregation see the same input, and
    experts fuse their outputs. In training, the squared cosine between the two outputs is an
    additional loss.

    Args:
        joint_dim: C of the encoder.
        level_dims: channels of the two tapped levels, see `CATSegDecoder`.
        cost_dim: D of the head, the number of prompts.
        dim: channels of the embedded volume.
        guide_dim: channels of the guidance by image and by text.
        layers: number of aggregation layers, of two parallel blocks each.
        heads: attention heads in spatial and class attention.
        window: side of the windows of spatial attention, in cells of the feature grid.
        expand: width of the MLPs as a multiple of `dim`.
        pool: pooling factor before class attention in (training, evaluation).
        pad_length: least number of tokens in class attention; a learned token fills the gap.
        level_middle: channels of the levels after enlarging.
        level_guides: channels of the levels as guidance.
        stage_dims: output channels of the two upsampling stages.
        experts: number of experts in each fusion.
        gate_dim: channels inside the gate of the experts.
        overlap_weight: weight of the loss that makes the two streams orthogonal; 0 for none.
        chunk: categories processed at a time at inference; smaller values need less memory.

    Raises:
        ValueError: `level_dims` does not have two entries, or an argument is out of range.
    """

    any_level_scale = True
    # the fusion has statistics of the batch, which recomputing would count twice
    checkpointed = ("layers.*.spatial", "layers.*.classes", "stages.*")
    compiled = ("stages.*",)

    def __init__(
        self,
        joint_dim: int,
        level_dims: tuple[int, int],
        cost_dim: int = 1,
        dim: int = 128,
        guide_dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        window: int = 12,
        expand: int = 4,
        pool: tuple[int, int] = (2, 1),
        pad_length: int = 256,
        level_middle: tuple[int, int] = (256, 128),
        level_guides: tuple[int, int] = (32, 16),
        stage_dims: tuple[int, int] = (64, 32),
        experts: int = 4,
        gate_dim: int = 32,
        overlap_weight: float = 0.001,
        chunk: int = 8,
    ) -> None:
        super().__init__()
        check_range("PCADecoder", 0, layers=layers, pad_length=pad_length)
        check_range("PCADecoder", 0, overlap_weight=overlap_weight)
        check_range("PCADecoder", 1, heads=heads, window=window, expand=expand, chunk=chunk)
        check_range("PCADecoder", 1, pool=min(pool), experts=experts, gate_dim=gate_dim)
        sizes = (joint_dim, level_dims, cost_dim, dim, level_middle, level_guides, guide_dim)
        add_guidance(self, *sizes)
        self.pool, self.chunk, self.overlap_weight = tuple(pool), chunk, overlap_weight
        self.layers = nn.ModuleList(
            ParallelBlock(
                SpatialAggregation(dim, guide_dim, heads, expand * dim, window),
                ClassAggregation(dim, guide_dim, heads, expand * dim, pad_length),
                ExpertFusion(dim, experts, gate_dim),
            )
            for _ in range(2 * layers)
        )
        widths = (dim, *stage_dims[:-1])
        kept = tuple(size - guide for size, guide in zip(widths, level_guides, strict=True))
        add_upsampling(self, dim, level_guides, stage_dims, kept)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at four times the resolution of the feature grid.

        The selection is returned unchanged. In training, `Masks.losses` has ``loss_overlap``.
        """
        overlaps: list[Tensor] = []

        def aggregate(volumes: list[EmbeddedVolume]) -> list[Tensor]:
            pool = self.pool[0] if self.training else self.pool[1]
            for layer in self.layers:
                volumes, both_Nhwc = layer(volumes, pool, self.chunk)
                if self.training and self.overlap_weight:
                    overlaps.append(overlap(both_Nhwc))
            return [volume.x_Khwc for volume in volumes]

        masks = decode_volume(self, aligned, aggregate, together=self.training)
        if not overlaps:
            return masks
        loss = self.overlap_weight * torch.stack(overlaps).mean()
        return Masks(masks.logits_BKHW, masks.selection, losses={"loss_overlap": loss})

"""CATSegDecoder: aggregates the cosine volume over space and categories and decodes masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.layers.guided import map_chunks
from ovss.layers.linear import Linear
from ovss.layers.upsample import GuidedUpsample, LevelGuide
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks

from .classes import ClassAggregation
from .spatial import SpatialAggregation


class AggregationLayer(nn.Module):
    """Spatial aggregation followed by class aggregation."""

    def __init__(self, spatial: SpatialAggregation, classes: ClassAggregation) -> None:
        super().__init__()
        self.spatial = spatial
        self.classes = classes

    def forward(
        self, x_Khwc: Tensor, appearance_hwc: Tensor, text_Kc: Tensor, pool: int, chunk: int
    ) -> Tensor:
        """Applies both, see `SpatialAggregation` and `ClassAggregation` for the arguments."""
        x_Khwc = self.spatial(x_Khwc, appearance_hwc, chunk)
        return self.classes(x_Khwc, text_Kc, pool, chunk)


@DECODERS.register_module()
class CATSegDecoder(Decoder):
    """Cost aggregation (CAT-Seg, CVPR 2024, sections 3.2 to 3.4 and its released code).

    Images are processed one at a time with their valid categories only. The result of an image
    therefore depends neither on the other images of the batch nor on padding, and its guidance is
    never copied per category. Without gradients, at most `chunk` categories are processed at a
    time.

    Args:
        joint_dim: C of the encoder.
        level_dims: channels of the two tapped levels. The first guides the first (2 x) stage, the
            second the second (4 x) stage; CAT-Seg uses a shallow and a deep level. A level may be
            finer than the feature grid.
        cost_dim: D of the head, the number of prompts.
        dim: channels of the embedded volume, of the appearance and of the text guidance.
        layers: number of aggregation layers.
        heads: attention heads in spatial and class attention.
        window: side of the windows of spatial attention, in cells of the feature grid.
        expand: width of the MLPs as a multiple of `dim`.
        pool: pooling factor before class attention in (training, evaluation).
        pad_length: least number of tokens in class attention; a learned token fills the gap.
        level_middle: channels of the levels after enlarging.
        level_guides: channels of the levels as guidance.
        stage_dims: output channels of the two upsampling stages.
        chunk: categories processed at a time at inference; smaller values need less memory.

    Raises:
        ValueError: `level_dims` does not have two entries, or an argument is out of range.
    """

    any_level_scale = True
    checkpointed = ("layers.*", "stages.*")
    compiled = ("stages.*",)

    def __init__(
        self,
        joint_dim: int,
        level_dims: tuple[int, int],
        cost_dim: int = 1,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        window: int = 12,
        expand: int = 4,
        pool: tuple[int, int] = (2, 1),
        pad_length: int = 256,
        level_middle: tuple[int, int] = (256, 128),
        level_guides: tuple[int, int] = (32, 16),
        stage_dims: tuple[int, int] = (64, 32),
        chunk: int = 8,
    ) -> None:
        super().__init__()
        check_range("CATSegDecoder", 0, layers=layers, pad_length=pad_length)
        check_range("CATSegDecoder", 1, heads=heads, window=window, expand=expand, chunk=chunk)
        check_range("CATSegDecoder", 1, joint_dim=joint_dim, cost_dim=cost_dim, dim=dim)
        check_range("CATSegDecoder", 1, pool=min(pool), stage_dims=min(stage_dims))
        if len(level_dims) != 2:
            raise ValueError(
                f"CATSegDecoder expects two tapped levels, but level_dims is {level_dims}. "
                "Set level_dims to the channels of two levels of the encoder."
            )
        self.cost_dim, self.joint_dim, self.level_dims = cost_dim, joint_dim, tuple(level_dims)
        self.pool, self.chunk = tuple(pool), chunk
        self.embed = nn.Conv2d(cost_dim, dim, 7, padding=3)
        self.appearance = nn.Conv2d(joint_dim, dim, 3, padding=1)
        self.text = Linear(joint_dim, dim)
        self.guides = nn.ModuleList(
            LevelGuide(*sizes) for sizes in zip(level_dims, (2, 4), level_middle, level_guides)
        )
        self.layers = nn.ModuleList(
            AggregationLayer(
                SpatialAggregation(dim, dim, heads, expand * dim, window),
                ClassAggregation(dim, dim, heads, expand * dim, pad_length),
            )
            for _ in range(layers)
        )
        self.stages = nn.ModuleList()
        for guide, out in zip(level_guides, stage_dims):
            # The guidance takes the other quarter of the channels.
            self.stages.append(GuidedUpsample(dim, dim * 3 // 4, guide, out))
            dim = out
        self.head = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at four times the resolution of the feature grid.

        The selection is returned unchanged.
        """
        image, selection = aligned.features, aligned.selection
        appearance_Bhwc = F.relu(self.appearance(image.dense_BChw)).permute(0, 2, 3, 1)
        width = image.dense_BChw.shape[-1]
        offsets = [
            stage.offset(guide(level_Bchw, level_Bchw.shape[-1] // width))
            for stage, guide, level_Bchw in zip(self.stages, self.guides, image.levels)
        ]
        count_B = selection.valid_BK.sum(1).tolist()
        cost_images = selection.pack(aligned.cost_BKDhw).split(count_B)
        text_BKPC = selection.gather(aligned.text.embeds_TPC)
        text_images = selection.pack(self._text_guidance(text_BKPC)).split(count_B)
        logits_N = torch.cat(
            [
                self._one_image(cost_KDhw, appearance_hwc, text_Kc, offsets_chw)
                for cost_KDhw, appearance_hwc, text_Kc, *offsets_chw in zip(
                    cost_images, appearance_Bhwc, text_images, *offsets
                )
            ]
        )
        return Masks(selection.unpack(logits_N), selection)

    def _text_guidance(self, text_BKPC: Tensor) -> Tensor:
        mean_BKC = F.normalize(text_BKPC.mean(2), dim=-1)
        return F.relu(self.text(mean_BKC))

    def _one_image(
        self,
        cost_KDhw: Tensor,
        appearance_hwc: Tensor,
        text_Kc: Tensor,
        offsets_chw: list[Tensor],
    ) -> Tensor:
        """Decodes one image's valid categories: (K, D, h, w) -> (K, 4h, 4w)."""
        pool = self.pool[0] if self.training else self.pool[1]
        x_Khwc = map_chunks(self._embed, cost_KDhw, self.chunk)
        for layer in self.layers:
            x_Khwc = layer(x_Khwc, appearance_hwc, text_Kc, pool, self.chunk)

        def masks(part_Nhwc: Tensor) -> Tensor:
            part_Nchw = part_Nhwc.permute(0, 3, 1, 2)
            for stage, offset_chw in zip(self.stages, offsets_chw):
                part_Nchw = stage(part_Nchw, offset_chw)
            return self.head(part_Nchw).squeeze(1)

        return map_chunks(masks, x_Khwc, self.chunk)

    def _embed(self, cost_NDhw: Tensor) -> Tensor:
        return self.embed(cost_NDhw).permute(0, 2, 3, 1).contiguous()

"""SpatialDecoder: decodes masks with guidance from CLIP's early layers, eq. 13 to 16."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.kernels.portions import Portions
from ovss.layers.chunks import pair_groups
from ovss.layers.convolution import ConvToOne
from ovss.layers.upsample import GuidedUpsample, LevelGuide
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .options import at_least, one_of
from .sources import (
    COST_UPS,
    AttentionRows,
    ClassAttention,
    CostSkip,
    LevelProjection,
    required_attention,
)
from .spatial import SpatialEnhancement, Step

_NAME = "SpatialDecoder"
_PORTIONS = Portions("dcp_clip_decoder_pairs")
SOURCES = ("levels", "cost", "attention")
ATTN_MODES = ("rows", "cls", "bias")


@dataclass(frozen=True)
class Plan:
    """Guidance for one stage, computed once for each image and used by all its categories."""

    steps: list[Step]
    offset_Bchw: Tensor
    kernel: Tensor

    def of(self, images: slice | Tensor) -> Plan:
        """Guidance for some pairs, see `PairGroup.images`."""
        steps = [step.of(images) for step in self.steps]
        return Plan(steps, self.offset_Bchw[images], self.kernel)


@DECODERS.register_module()
class SpatialDecoder(Decoder):
    """Stages of window attention and guided upsampling, each of which doubles the resolution.

    Only the valid (image, category) pairs are processed. On a CPU images are processed one at a
    time, guidance is never copied per category, and without gradients at most `chunk` categories
    are processed at a time. On other devices the pairs of all images are one batch.

    Args:
        level_dims: channels of the encoder's tapped levels, shallow first; stage l uses level l.
        cost_dim: D of the head.
        raw_dim: P of the head's plain cosines.
        layers: number of stages, from 0 to the length of `stage_dims` (Table VI b).
        spatial: use of window attention (eq. 13-14); False only upsamples (Table VI a).
        sources: inputs that are fused (Table VI c). ``levels`` enter queries, keys and upsampling,
            ``cost`` (the plain cosines) enters upsampling, ``attention`` enters queries and keys.
        attn_mode: use of the encoder's attention. ``rows`` takes each cell's row of the
            patch-to-patch attention as guidance, ``cls`` takes the class token's attention to the
            cell, ``bias`` adds the attention between two cells to their logit.
        attn_grid: (h, w) of the training grid, for ``rows``.
        attn_channels: channels of class attention (heads times blocks), for ``cls``.
        attn_detach: True stops gradients to the encoder's attention; False needs an encoder with
            ``attention_gradient``.
        detach_levels: True stops gradients to the tapped levels.
        guide_dims: channels of the guidance by (levels, attention).
        heads: attention heads.
        window: side of the windows, in cells of the feature grid at the first stage.
        position_bias: use of a learned bias for every displacement within a window.
        expand: width of the MLPs as a multiple of their channels.
        level_middle, level_skips: channels of the levels after enlarging and after narrowing.
        cost_skips: channels of the plain cosines in each stage's upsampling.
        cost_up: ``bilinear_1x1`` or ``convT_chain``, see `CostSkip`.
        stage_dims: output channels of each stage.
        chunk: categories processed at a time at inference; smaller values need less memory.

    Raises:
        ValueError: an argument out of range.
    """

    checkpointed = ("stages.*", "enhance.*")
    compiled = ("enhance.*", "stages.*")

    def __init__(
        self,
        level_dims: tuple[int, ...],
        cost_dim: int = 128,
        raw_dim: int = 80,
        layers: int = 2,
        spatial: bool = True,
        sources: tuple[str, ...] = SOURCES,
        attn_mode: str = "rows",
        attn_grid: tuple[int, int] = (24, 24),
        attn_channels: int = 0,
        attn_detach: bool = True,
        detach_levels: bool = False,
        guide_dims: tuple[int, int] = (128, 64),
        heads: int = 4,
        window: int = 12,
        position_bias: bool = False,
        expand: int = 4,
        level_middle: tuple[int, ...] = (256, 128),
        level_skips: tuple[int, ...] = (32, 16),
        cost_skips: tuple[int, ...] = (32, 16),
        cost_up: str = "bilinear_1x1",
        stage_dims: tuple[int, ...] = (64, 32),
        chunk: int = 4,
    ) -> None:
        super().__init__()
        for source in sources:
            one_of(_NAME, "sources", source, SOURCES)
        one_of(_NAME, "cost_up", cost_up, COST_UPS)
        at_least(_NAME, 1, heads=heads, window=window, expand=expand, chunk=chunk)
        shortest = min(map(len, (level_middle, level_skips, cost_skips, stage_dims)))
        if not 0 <= layers <= shortest:
            raise ValueError(
                f"{_NAME} expects layers from 0 to {shortest}, but got {layers}. Reduce layers, or "
                "give level_middle, level_skips, cost_skips and stage_dims more entries."
            )
        levels = "levels" in sources and layers > 0
        if levels and len(level_dims) < layers:
            raise ValueError(
                f"{_NAME} expects a tapped level for each of its {layers} layers, but level_dims "
                f"is {level_dims}. Tap more levels of the encoder or reduce layers."
            )
        indivisible = [d for d in (cost_dim, *stage_dims[: max(layers - 1, 0)]) if d % heads]
        if indivisible and spatial:
            raise ValueError(
                f"{_NAME} splits the channels of each stage into {heads} heads, but {heads} does "
                f"not divide {indivisible}. Change heads, cost_dim or stage_dims."
            )
        self.attn_mode = one_of(_NAME, "attn_mode", attn_mode, ATTN_MODES)
        attention = "attention" in sources and spatial and layers > 0
        by_class = attention and attn_mode == "cls"
        if by_class and attn_channels < 1:
            raise ValueError(
                f"{_NAME} with attn_mode='cls' expects attn_channels of at least 1, but got "
                f"{attn_channels}. Set attn_channels to the number of heads of all blocks in the "
                "encoder's class_attention."
            )
        self.cost_dim = cost_dim
        self.raw_dim = raw_dim if "cost" in sources and layers else None
        self.level_dims = tuple(level_dims) if levels else None
        self.needs_attention = attention and not by_class
        self.class_attention_dim = attn_channels if by_class else None
        self.attn_detach, self.detach_levels = attn_detach, detach_levels
        self.chunk, self.expand = chunk, expand

        concatenated = attention and attn_mode != "bias"
        guide_dim = levels * guide_dims[0] + concatenated * guide_dims[1]
        self.level_guides, self.attention_guides = nn.ModuleList(), nn.ModuleList()
        self.level_skips, self.enhance = nn.ModuleList(), nn.ModuleList()
        self.stages = nn.ModuleList()
        dim = cost_dim
        for stage in range(layers):
            if levels:
                level = level_dims[stage]
                middle, skip = level_middle[stage], level_skips[stage]
                self.level_skips.append(LevelGuide(level, 2 << stage, middle, skip))
            if levels and spatial:
                self.level_guides.append(LevelProjection(level_dims[stage], guide_dims[0]))
            if by_class:
                self.attention_guides.append(ClassAttention(attn_channels, guide_dims[1]))
            elif concatenated:
                self.attention_guides.append(AttentionRows(tuple(attn_grid), guide_dims[1]))
            if spatial:
                bias = attention and attn_mode == "bias"
                self.enhance.append(
                    SpatialEnhancement(dim, guide_dim, heads, expand, window, position_bias, bias)
                )
            skips = (levels * level_skips[stage], ("cost" in sources) * cost_skips[stage])
            # As in CAT-Seg, the skips take the other quarter of the channels.
            out = stage_dims[stage]
            self.stages.append(GuidedUpsample(dim, dim * 3 // 4, skips[0], out, skips[1]))
            dim = out
        self.cost_skip: CostSkip | None = None
        if self.raw_dim is not None:
            self.cost_skip = CostSkip(raw_dim, tuple(cost_skips[:layers]), cost_up)
        self.head = ConvToOne(dim)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at 2^layers times the resolution of the feature grid.

        The selection is returned unchanged.

        Raises:
            ValueError: the head or the encoder did not produce an input that is fused.
        """
        selection = aligned.selection
        plans = self._plans(aligned.features)
        pairs, raw_NPhw = selection.pairs, None
        if self.cost_skip is not None:
            if aligned.raw_BKPhw is None:
                raise ValueError(
                    f"{_NAME} expects plain cosines (raw_BKPhw), but the head did not produce "
                    "them. Use TextGuidedHead, or remove 'cost' from sources."
                )
            raw_NPhw = pairs.pack(aligned.raw_BKPhw)
        cost_NDhw, logits = pairs.pack(aligned.cost_BKDhw), []
        row = cost_NDhw.shape[-2] * cost_NDhw.shape[-1] * self._numbers_of_cell()
        for group in pair_groups(pairs, self.chunk, cost_NDhw, row, _PORTIONS):
            raw_nPhw = None if raw_NPhw is None else raw_NPhw[group.rows]
            chosen = [plan.of(group.images) for plan in plans]
            logits.append(self._maps(cost_NDhw[group.rows], raw_nPhw, chosen))
        return Masks(pairs.unpack(torch.cat(logits)), selection)

    def _numbers_of_cell(self) -> int:
        """Numbers in the largest intermediate result of a pair, for each cell of the grid."""
        dims = [self.cost_dim, *(stage.conv1.out_channels for stage in self.stages)]
        return max(
            (
                max(self.expand * dim, 4 * out) << (2 * i)
                for i, (dim, out) in enumerate(pairwise(dims))
            ),
            default=self.cost_dim,
        )

    def _plans(self, image: ImageFeatures) -> list[Plan]:
        """Guidance of each stage."""
        batch, height, width = image.dense_BChw.shape[0], *image.dense_BChw.shape[-2:]
        levels = [x.detach() if self.detach_levels else x for x in image.levels]
        plans = []
        for index, stage in enumerate(self.stages):
            size = (height << index, width << index)
            steps: list[Step] = []
            if self.enhance:
                guide_Bhwc = self._guide(index, image, levels, size)
                near_BNN = None
                if self.enhance[index].affinity_scale is not None:
                    near_BNN = required_attention(image.attention_BNN, self.attn_detach)
                steps = self.enhance[index].steps(size, guide_Bhwc, near_BNN)
            kernel, offset_chw = stage.composed((2 * size[0], 2 * size[1]))
            offset_Bchw = offset_chw.expand(batch, -1, -1, -1)
            if self.level_skips:
                offset_Bchw = offset_Bchw + stage.offset(self.level_skips[index](levels[index]))
            offset_Bchw = offset_Bchw.contiguous(memory_format=torch.channels_last)
            plans.append(Plan(steps, offset_Bchw, kernel))
        return plans

    def _guide(
        self, index: int, image: ImageFeatures, levels: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Guidance (B, *size, c) of a stage's queries and keys; (B, 1, 1, 0) for no guidance."""
        parts = [guide(levels[index]) for guide in self.level_guides[index : index + 1]]
        parts += [
            guide(image, self.attn_detach) for guide in self.attention_guides[index : index + 1]
        ]
        if not parts:
            return image.dense_BChw.new_zeros(image.dense_BChw.shape[0], 1, 1, 0)
        return resize(torch.cat(parts, dim=1), size).permute(0, 2, 3, 1)

    def _maps(self, x_Kchw: Tensor, raw_KPhw: Tensor | None, plans: list[Plan]) -> Tensor:
        """Decodes some pairs: (K, D, h, w) -> (K, H, W)."""
        skips: list[Tensor] | list[None] = [None] * len(plans)
        if self.cost_skip is not None and raw_KPhw is not None:
            skips = self.cost_skip(raw_KPhw)
        for index, (plan, skip_Kchw) in enumerate(zip(plans, skips)):
            if self.enhance:
                x_Khwc = x_Kchw.permute(0, 2, 3, 1)
                x_Kchw = self.enhance[index](x_Khwc, plan.steps).permute(0, 3, 1, 2)
            x_Kchw = self.stages[index](x_Kchw, plan.offset_Bchw, skip_Kchw, plan.kernel)
        return self.head(x_Kchw).squeeze(1)

"""SpatialDecoder: volumes into masks, sharpened by what CLIP's early layers saw, eq. 13 to 16."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.layers.upsample import GuidedUpsample, LevelGuide
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .options import at_least, one_of
from .sources import COST_UPS, AttentionRows, ClassAttention, CostSkip, LevelProjection, taken
from .spatial import SpatialEnhancement, Step

_NAME = "SpatialDecoder"
SOURCES = ("levels", "cost", "attention")
ATTN_MODES = ("rows", "cls", "bias")


@dataclass(frozen=True)
class Plan:
    """What one image gives one stage: made once, used by all its categories."""

    steps: list[Step]
    offset_chw: Tensor
    kernel: Tensor


@DECODERS.register_module()
class SpatialDecoder(Decoder):
    """Stages of window attention and guided upsampling, twice as fine each.

    Images are worked on one at a time, live pairs only, at most `chunk` categories at once without
    gradients; guidance is computed once per image and never copied per category.

    Args:
        level_dims: channels of the encoder's tapped levels, shallow first; stage l sees level l.
        cost_dim: D of the head.
        raw_dim: P of the head's plain cosines.
        layers: stages, 0 to as many as `stage_dims` has (Table VI b).
        spatial: window attention (eq. 13 and 14); without it, upsampling only (Table VI a).
        sources: what is fused (Table VI c): ``levels``, in queries, keys and upsampling; ``cost``,
            the plain cosines, in upsampling; ``attention``, in queries and keys.
        attn_mode: ``rows``: each cell's row of the patch-to-patch attention is guidance; ``cls``:
            the class token's attention to the cell is; ``bias``: the attention between two cells
            is added to their logit.
        attn_grid: (h, w) of the training grid, for ``rows``.
        attn_channels: channels of class attention, for ``cls``: heads times blocks.
        attn_detach: no gradient through the encoder's attention; False needs an encoder that lets
            them through (``attention_gradient``).
        detach_levels: no gradient through the tapped levels.
        guide_dims: channels of the guidance of levels and of attention.
        heads: attention heads.
        window: side of the windows, in cells of the feature grid at the first stage.
        position_bias: a learned bias for every displacement within a window.
        expand: width of the MLPs, times their channels.
        level_middle, level_skips: channels of the levels once enlarged, and where they join.
        cost_skips: channels of the plain cosines where they join.
        cost_up: ``bilinear_1x1`` or ``convT_chain``, see `CostSkip`.
        stage_dims: channels out of each stage.
        chunk: categories at a time at inference; smaller is leaner.

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
            raise ValueError(f"{_NAME}: layers must be 0..{shortest}, got {layers}")
        levels = "levels" in sources and layers > 0
        if levels and len(level_dims) < layers:
            raise ValueError(
                f"{_NAME}: {layers} layers need as many tapped levels, got level_dims={level_dims}"
            )
        wrong = [d for d in (cost_dim, *stage_dims[: max(layers - 1, 0)]) if d % heads]
        if wrong and spatial:
            raise ValueError(f"{_NAME}: {heads} heads must divide channels of {wrong}")
        self.attn_mode = one_of(_NAME, "attn_mode", attn_mode, ATTN_MODES)
        attention = "attention" in sources and spatial and layers > 0
        by_class = attention and attn_mode == "cls"
        if by_class and attn_channels < 1:
            raise ValueError(
                f"{_NAME}: attn_mode='cls' needs attn_channels, the heads of the encoder's "
                f"class_attention blocks altogether, got {attn_channels}"
            )
        self.cost_dim = cost_dim
        self.raw_dim = raw_dim if "cost" in sources and layers else None
        self.level_dims = tuple(level_dims) if levels else None
        self.needs_attention = attention and not by_class
        self.class_attention_dim = attn_channels if by_class else None
        self.attn_detach, self.detach_levels, self.chunk = attn_detach, detach_levels, chunk

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
                sizes = (dim, guide_dim, heads, expand, window)
                self.enhance.append(SpatialEnhancement(*sizes, position_bias, bias))
            skips = (levels * level_skips[stage], ("cost" in sources) * cost_skips[stage])
            # As in CAT-Seg, a quarter of the channels are left to what joins.
            out = stage_dims[stage]
            self.stages.append(GuidedUpsample(dim, dim * 3 // 4, skips[0], out, skips[1]))
            dim = out
        self.cost_skip: CostSkip | None = None
        if self.raw_dim is not None:
            self.cost_skip = CostSkip(raw_dim, tuple(cost_skips[:layers]), cost_up)
        self.head = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, aligned: Alignment) -> Masks:
        """Logits at 2^layers times the feature grid; the selection as it came.

        Raises:
            ValueError: the head or the encoder did not give what is fused.
        """
        selection = aligned.selection
        plans = self._plans(aligned.features)
        live_B = selection.valid_BK.sum(1).tolist()
        cost_images = selection.pack(aligned.cost_BKDhw).split(live_B)
        raw_images: list[Tensor | None] | tuple[Tensor, ...] = [None] * len(live_B)
        if self.cost_skip is not None:
            if aligned.raw_BKPhw is None:
                raise ValueError(
                    f"{_NAME} fuses the plain cosines, which the head did not give: use "
                    "TextGuidedHead, or sources without 'cost'"
                )
            raw_images = selection.pack(aligned.raw_BKPhw).split(live_B)
        logits_N = torch.cat(
            [
                self._one_image(cost_KDhw, raw_KPhw, [stage[i] for stage in plans])
                for i, (cost_KDhw, raw_KPhw) in enumerate(zip(cost_images, raw_images))
            ]
        )
        return Masks(selection.unpack(logits_N), selection)

    def _plans(self, image: ImageFeatures) -> list[list[Plan]]:
        """For each stage, for each image."""
        batch, height, width = len(image.dense_BChw), *image.dense_BChw.shape[-2:]
        levels = [x.detach() if self.detach_levels else x for x in image.levels]
        plans = []
        for index, stage in enumerate(self.stages):
            size = (height << index, width << index)
            steps: list[list[Step]] = [[] for _ in range(batch)]
            if self.enhance:
                guide_Bhwc = self._guide(index, image, levels, size)
                near_BNN = None
                if self.enhance[index].affinity_scale is not None:
                    near_BNN = taken(image.attention_BNN, self.attn_detach)
                steps = self.enhance[index].steps(size, guide_Bhwc, near_BNN)
            kernel, offset_chw = stage.composed((2 * size[0], 2 * size[1]))
            offset_Bchw = offset_chw.expand(batch, -1, -1, -1)
            if self.level_skips:
                offset_Bchw = offset_Bchw + stage.offset(self.level_skips[index](levels[index]))
            offset_Bchw = offset_Bchw.contiguous(memory_format=torch.channels_last)
            plans.append([Plan(*plan, kernel) for plan in zip(steps, offset_Bchw)])
        return plans

    def _guide(
        self, index: int, image: ImageFeatures, levels: list[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """(B, *size, c) guidance of queries and keys at a stage; (B, 1, 1, 0) if there is none."""
        parts = [guide(levels[index]) for guide in self.level_guides[index : index + 1]]
        parts += [
            guide(image, self.attn_detach) for guide in self.attention_guides[index : index + 1]
        ]
        if not parts:
            return image.dense_BChw.new_zeros(len(image.dense_BChw), 1, 1, 0)
        return resize(torch.cat(parts, dim=1), size).permute(0, 2, 3, 1)

    def _one_image(self, cost_KDhw: Tensor, raw_KPhw: Tensor | None, plans: list[Plan]) -> Tensor:
        """(K, D, h, w) of one image's live categories -> (K, H, W)."""
        size = len(cost_KDhw) if torch.is_grad_enabled() else self.chunk
        costs = cost_KDhw.split(size)
        raws = [None] * len(costs) if raw_KPhw is None else raw_KPhw.split(size)
        return torch.cat([self._maps(*part, plans) for part in zip(costs, raws)])

    def _maps(self, x_Kchw: Tensor, raw_KPhw: Tensor | None, plans: list[Plan]) -> Tensor:
        skips: list[Tensor] | list[None] = [None] * len(plans)
        if self.cost_skip is not None and raw_KPhw is not None:
            skips = self.cost_skip(raw_KPhw)
        for index, (plan, skip_Kchw) in enumerate(zip(plans, skips)):
            if self.enhance:
                x_Khwc = x_Kchw.permute(0, 2, 3, 1)
                x_Kchw = self.enhance[index](x_Khwc, plan.steps).permute(0, 3, 1, 2)
            x_Kchw = self.stages[index](x_Kchw, plan.offset_chw, skip_Kchw, plan.kernel)
        return self.head(x_Kchw).squeeze(1)

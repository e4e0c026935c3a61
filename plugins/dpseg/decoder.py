"""CVGDecoder: decodes the dual-prompt volume with guidance by levels and visual prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.layers.chunks import rows_at_once
from ovss.layers.convolution import ConvToOne, WideConv2d
from ovss.layers.guided import map_chunks, map_slices
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .stage import AXES, REDUCTIONS, VisualGuide, cvgd_stage


@DECODERS.register_module()
class CVGDecoder(Decoder):
    """Cost-volume-guided decoder (DPSeg, CVPR 2025) with one stage for each level, deepest first.

    Each stage mixes over space and categories, doubles the resolution and fuses two guides. One is
    the level; the other is the cosines of the level's cells with the visual prompts of its scale.
    Images are processed one at a time with their valid categories only. Without gradients, at most
    `chunk` categories are processed at a time.

    Args:
        level_dims: channels of the encoder's levels, shallow first. Levels may have any resolution.
        cost_dim: D of the head, the number M of prompt templates and of visual prompts.
        dim: channels of the embedded volume.
        embed_kernel: side of the convolution that embeds the volume, odd.
        stage_dims: output channels of the stages.
        guides: channels of each stage's guidance by the level.
        visual_guides: channels of each stage's guidance by visual prompts; 0 disables it.
        reduce: ``conv1x1_m`` or ``mean_m``, see `VisualGuide`.
        dilations: dilations of each stage's 3 x 3 convolutions.
        axis: axis of the attention, ``class`` or ``spatial``.
        heads: attention heads.
        expand: width of the MLPs as a multiple of the channels.
        pool: pooling factor before the attention in (training, evaluation).
        detach_levels: True stops gradients to the levels.
        aux: use of auxiliary masks in training, predicted from the detached input of every stage.
        chunk: categories processed at a time at inference.

    Raises:
        ValueError: lengths that differ, or an unknown value of an argument.
    """

    any_level_scale = True
    checkpointed = ("stages.*", "stages.*.space")
    compiled = ("stages.*",)

    def __init__(
        self,
        level_dims: tuple[int, ...],
        cost_dim: int = 80,
        dim: int = 128,
        embed_kernel: int = 7,
        stage_dims: tuple[int, ...] = (64, 32, 16),
        guides: tuple[int, ...] = (32, 16, 8),
        visual_guides: tuple[int, ...] = (32, 16, 8),
        reduce: str = "conv1x1_m",
        dilations: tuple[int, ...] = (1, 2, 4),
        axis: str = "class",
        heads: int = 4,
        expand: int = 4,
        pool: tuple[int, int] = (2, 1),
        detach_levels: bool = True,
        aux: bool = True,
        chunk: int = 8,
    ) -> None:
        super().__init__()
        lengths = {len(x) for x in (level_dims, stage_dims, guides, visual_guides)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                f"CVGDecoder expects one level, width and pair of guides for each stage, but got "
                f"level_dims={level_dims}, stage_dims={stage_dims}, guides={guides}, "
                f"visual_guides={visual_guides}. Give all four the same length."
            )
        for name, value, known in (("axis", axis, AXES), ("reduce", reduce, REDUCTIONS)):
            if value not in known:
                raise ValueError(
                    f"CVGDecoder expects {name} to be one of {', '.join(known)}, but got "
                    f"{value!r}. Choose one of these values."
                )
        if embed_kernel % 2 == 0:
            raise ValueError(
                f"CVGDecoder expects an odd embed_kernel, but got {embed_kernel}. "
                f"Use {embed_kernel + 1}, for example."
            )
        check_range("CVGDecoder", 1, heads=heads, expand=expand, chunk=chunk, pool=min(pool))
        check_range("CVGDecoder", 1, cost_dim=cost_dim, dim=dim)
        self.cost_dim, self.level_dims = cost_dim, tuple(level_dims)
        self.text_level_dims = self.level_dims if any(visual_guides) else None
        self.pool, self.chunk, self.detach_levels = tuple(pool), chunk, detach_levels
        self.widening = max(expand, 4)  # of the MLPs, and of twice the rows and columns
        self.embed = WideConv2d(cost_dim, dim, embed_kernel)
        self.level_guides, self.visual_guides = nn.ModuleList(), nn.ModuleList()
        self.stages, self.aux_heads = nn.ModuleList(), nn.ModuleList()
        for level, guide, visual, out in zip(
            reversed(level_dims), guides, visual_guides, stage_dims
        ):
            self.level_guides.append(nn.Conv2d(level, guide, 3, padding=1))
            visual_guide = VisualGuide(cost_dim, visual, reduce) if visual else nn.Identity()
            self.visual_guides.append(visual_guide)
            if aux:
                self.aux_heads.append(ConvToOne(dim))
            self.stages.append(
                cvgd_stage(dim, guide, visual, out, dilations, heads, expand, axis, self.pool)
            )
            dim = out
        self.head = ConvToOne(dim)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at 2^stages times the resolution of the feature grid.

        In training, `Masks.aux` holds the logits of every stage's input, coarse first.

        Raises:
            ValueError: the text lacks visual prompts of some scale.
        """
        if self.text_level_dims and len(aligned.text.levels) != len(self.level_dims):
            raise ValueError(
                f"CVGDecoder expects visual prompts of {len(self.level_dims)} scales, but the text "
                f"has {len(aligned.text.levels)}. Use an encoder that produces them, such as "
                "DualPromptEncoder, and a head that passes TextFeatures.levels on."
            )
        selection = aligned.selection
        levels = self._levels(aligned.features)
        plans = self._plans(aligned.features, levels)
        count_B = list(selection.counts)
        rows = selection.category_N.split(count_B)
        maps, aux = [], []
        for i, cost_KPhw in enumerate(selection.pack(aligned.cost_BKDhw).split(count_B)):
            prompts = [level[rows[i]] for level in reversed(aligned.text.levels)]
            offsets = [(kernel, offset_Bchw[i]) for kernel, offset_Bchw in plans]
            logits_Khw, aux_logits = self._one_image(
                cost_KPhw, [level[i] for level in levels], prompts, offsets
            )
            maps.append(logits_Khw)
            aux.append(aux_logits)
        aux_outputs = (selection.unpack(torch.cat(each)) for each in zip(*aux))
        return Masks(selection.unpack(torch.cat(maps)), selection, tuple(aux_outputs))

    def _levels(self, image: ImageFeatures) -> list[Tensor]:
        """Levels of the images, deepest first, detached if configured."""
        deepest_first = reversed(image.levels)
        return [level.detach() if self.detach_levels else level for level in deepest_first]

    def _plans(self, image: ImageFeatures, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Kernel of each stage, and the offsets (B, c, h, w) from the images' guidance."""
        height, width = image.dense_BChw.shape[-2:]
        plans = []
        for stage, narrow, level_Bchw in zip(self.stages, self.level_guides, levels):
            height, width = 2 * height, 2 * width
            guide_Bchw = resize(F.relu(narrow(level_Bchw)), (height, width))
            kernel, offset_chw = stage.upsample.composed((height, width))
            offset_Bchw = stage.upsample.offset(guide_Bchw) + offset_chw
            plans.append((kernel, offset_Bchw.contiguous(memory_format=torch.channels_last)))
        return plans

    def _one_image(
        self,
        cost_KPhw: Tensor,
        levels: list[Tensor],
        prompts: list[Tensor],
        plans: list[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, list[Tensor]]:
        """Decodes one image's valid categories.

        Returns:
            Logits (K, H, W), and in training the auxiliary logits of each stage.
        """
        chunk = self._at_once(cost_KPhw)
        x_Khwc = map_chunks(lambda x: _channels_last(self.embed(x)), cost_KPhw, chunk)
        aux: list[Tensor] = []
        for index, plan in enumerate(plans):
            if self.training and len(self.aux_heads):
                coarse_Kchw = x_Khwc.detach().permute(0, 3, 1, 2)
                aux.append(self.aux_heads[index](coarse_Kchw).squeeze(1))
            stage_prompts = prompts[index] if prompts else None
            x_Khwc = self._stage(index, x_Khwc, levels[index], stage_prompts, plan)
        return x_Khwc, aux

    def _stage(
        self,
        index: int,
        x_Khwc: Tensor,
        level_Dhw: Tensor,
        prompts_KMD: Tensor | None,
        plan: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Runs a stage: (K, h, w, c) -> (K, 2h, 2w, c'), or logits (K, 2h, 2w) after the last."""
        stage, guide, last = self.stages[index], self.visual_guides[index], self._is_last(index)
        size = (2 * x_Khwc.shape[1], 2 * x_Khwc.shape[2])
        pool = self.pool[0] if self.training else self.pool[1]
        chunk = self._at_once(x_Khwc)
        x_Khwc, sums = stage.mix(x_Khwc, pool, chunk)

        def finer(part: slice) -> Tensor:
            guide_Nchw = None
            if isinstance(guide, VisualGuide) and prompts_KMD is not None:
                guide_Nchw = guide(level_Dhw, prompts_KMD[part], size)
            y_Nchw = stage(x_Khwc[part], sums, pool, *plan, guide_Nchw)
            return self.head(y_Nchw).squeeze(1) if last else _channels_last(y_Nchw)

        return map_slices(finer, x_Khwc, chunk, ())

    def _at_once(self, x_K: Tensor) -> int:
        """Number of categories processed at a time, from their maps or their volume."""
        return rows_at_once(self.chunk, x_K, self.widening * x_K[0].numel())

    def _is_last(self, index: int) -> bool:
        return index == len(self.stages) - 1


def _channels_last(x_Kchw: Tensor) -> Tensor:
    """Moves the channels to the last axis."""
    return x_Kchw.permute(0, 2, 3, 1)

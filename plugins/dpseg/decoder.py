"""CVGDecoder: the dual-prompt volume, sharpened with guidance by cells and by visual prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.layers.guided import map_chunks
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .stage import AXES, REDUCTIONS, VisualGuide, cvgd_stage


@DECODERS.register_module()
class CVGDecoder(Decoder):
    """Cost-volume-guided decoder (DPSeg, CVPR 2025): one stage for each level, deepest first.

    Each stage mixes over space and categories, doubles the resolution, and fuses two guides: the
    level, and the cosines of the level's cells with the visual prompts of that scale. Images are
    worked on one at a time, their live categories only; without gradients, at most `chunk`
    categories at once.

    Args:
        level_dims: channels of the encoder's levels, shallow first; a level may lie on any grid.
        cost_dim: D of the head: M prompt templates. Visual prompts come under as many.
        dim: channels of the embedded volume.
        embed_kernel: side of the convolution that embeds it, odd.
        stage_dims: channels out of the stages.
        guides: channels of each stage's guidance by the image.
        visual_guides: the same by visual prompts; 0 leaves a stage without.
        reduce: ``conv1x1_m`` or ``mean_m``, see `VisualGuide`.
        dilations: of each stage's 3 x 3 convolutions.
        axis: attention over the ``class`` or the ``spatial`` axis.
        heads: attention heads.
        expand: width of the MLPs, times the channels.
        pool: attention works on a grid coarser by (training, evaluation).
        detach_levels: levels guide, but get no gradient.
        aux: in training, masks of every stage's input as well, from detached maps.
        chunk: categories per slice at inference.

    Raises:
        ValueError: lengths that differ, or an unknown word for an argument.
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
                f"CVGDecoder needs one level, width and pair of guides for each stage, got "
                f"level_dims={level_dims}, stage_dims={stage_dims}, guides={guides}, "
                f"visual_guides={visual_guides}"
            )
        for name, value, known in (("axis", axis, AXES), ("reduce", reduce, REDUCTIONS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if embed_kernel % 2 == 0:
            raise ValueError(f"embed_kernel must be odd, got {embed_kernel}")
        self.cost_dim, self.level_dims = cost_dim, tuple(level_dims)
        self.text_level_dims = self.level_dims if any(visual_guides) else None
        self.pool, self.chunk, self.detach_levels = tuple(pool), chunk, detach_levels
        self.embed = nn.Conv2d(cost_dim, dim, embed_kernel, padding=embed_kernel // 2)
        self.level_guides, self.visual_guides = nn.ModuleList(), nn.ModuleList()
        self.stages, self.aux_heads = nn.ModuleList(), nn.ModuleList()
        for level, guide, visual, out in zip(
            reversed(level_dims), guides, visual_guides, stage_dims
        ):
            self.level_guides.append(nn.Conv2d(level, guide, 3, padding=1))
            own = VisualGuide(cost_dim, visual, reduce) if visual else nn.Identity()
            self.visual_guides.append(own)
            if aux:
                self.aux_heads.append(nn.Conv2d(dim, 1, 3, padding=1))
            self.stages.append(
                cvgd_stage(dim, guide, visual, out, dilations, heads, expand, axis, self.pool)
            )
            dim = out
        self.head = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, aligned: Alignment) -> Masks:
        """Logits at 2^stages times the feature grid.

        In training `Masks.aux` holds the logits of every stage's input, coarse first.

        Raises:
            ValueError: the text comes without visual prompts of each scale.
        """
        if self.text_level_dims and len(aligned.text.levels) != len(self.level_dims):
            raise ValueError(
                f"CVGDecoder needs visual prompts of {len(self.level_dims)} scales, the head gives "
                f"{len(aligned.text.levels)}: use an encoder that has them (DualPromptEncoder) "
                f"and a head that hands TextFeatures.levels on"
            )
        selection = aligned.selection
        levels = self._levels(aligned.features)
        plans = self._plans(aligned.features, levels)
        live_B = selection.valid_BK.sum(1).tolist()
        rows = selection.category_N.split(live_B)
        maps, aux = [], []
        for i, cost_KPhw in enumerate(selection.pack(aligned.cost_BKDhw).split(live_B)):
            prompts = [level[rows[i]] for level in reversed(aligned.text.levels)]
            offsets = [(kernel, offset_Bchw[i]) for kernel, offset_Bchw in plans]
            logits_Khw, own = self._one_image(
                cost_KPhw, [level[i] for level in levels], prompts, offsets
            )
            maps.append(logits_Khw)
            aux.append(own)
        outputs = (selection.unpack(torch.cat(each)) for each in zip(*aux))
        return Masks(selection.unpack(torch.cat(maps)), selection, tuple(outputs))

    def _levels(self, image: ImageFeatures) -> list[Tensor]:
        """Deepest first."""
        deep = reversed(image.levels)
        return [level.detach() if self.detach_levels else level for level in deep]

    def _plans(self, image: ImageFeatures, levels: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """For each stage, its kernel and the offsets (B, c, h, w) of the images' guidance."""
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
        """One image's live categories -> logits (K, H, W), and in training those of each stage."""
        x_Khwc = map_chunks(lambda x: _last(self.embed(x)), cost_KPhw, self.chunk)
        aux: list[Tensor] = []
        for index, plan in enumerate(plans):
            if self.training and len(self.aux_heads):
                coarse_Kchw = x_Khwc.detach().permute(0, 3, 1, 2)
                aux.append(self.aux_heads[index](coarse_Kchw).squeeze(1))
            own = prompts[index] if prompts else None
            x_Khwc = self._stage(index, x_Khwc, levels[index], own, plan)
        return x_Khwc, aux

    def _stage(
        self,
        index: int,
        x_Khwc: Tensor,
        level_Dhw: Tensor,
        prompts_KMD: Tensor | None,
        plan: tuple[Tensor, Tensor],
    ) -> Tensor:
        """(K, h, w, c) -> (K, 2h, 2w, c'); after the last stage the logits (K, 2h, 2w)."""
        stage, guide, last = self.stages[index], self.visual_guides[index], self._is_last(index)
        size = (2 * x_Khwc.shape[1], 2 * x_Khwc.shape[2])
        pool = self.pool[0] if self.training else self.pool[1]
        x_Khwc, sums = stage.mix(x_Khwc, pool, self.chunk)

        def finer(slots_N: Tensor) -> Tensor:
            part = slice(int(slots_N[0]), int(slots_N[-1]) + 1)
            guide_Nchw = None
            if isinstance(guide, VisualGuide) and prompts_KMD is not None:
                guide_Nchw = guide(level_Dhw, prompts_KMD[part], size)
            y_Nchw = stage(x_Khwc[part], sums, pool, *plan, guide_Nchw)
            return self.head(y_Nchw).squeeze(1) if last else _last(y_Nchw)

        return map_chunks(finer, torch.arange(len(x_Khwc), device="cpu"), self.chunk)

    def _is_last(self, index: int) -> bool:
        return index == len(self.stages) - 1


def _last(x_Kchw: Tensor) -> Tensor:
    """Channels last."""
    return x_Kchw.permute(0, 2, 3, 1)

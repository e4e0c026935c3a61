"""GradualDecoder: the raw cosine volume, mixed and sharpened stage by stage, into masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.layers.guided import map_chunks
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .rejection import EmbeddedHead, best_somewhere
from .stage import gradual_stage

Plan = tuple[Tensor, Tensor]
"""A stage's composed kernel, and one image's offset (c, h, w)."""


@DECODERS.register_module()
class GradualDecoder(Decoder):
    """Gradual fusion with category early rejection (SED, CVPR 2024, sections 3.2 and 3.3).

    The gradient rule of the released code: levels guide, but get no gradient; auxiliary heads see
    detached maps, so their losses train nothing but themselves.

    Images are worked on one at a time, their live categories only: what is computed for an image
    depends neither on its batch mates nor on padding. Without gradients, at most `chunk` categories
    are worked on at a time.

    Args:
        level_dims: channels of the encoder's levels, shallow first, one for each stage; the deepest
            guides the first stage. A level may lie on any grid.
        cost_dim: D of the head, the number of prompt templates.
        dim: channels of the embedded volume.
        stage_dims: channels out of the stages, each of which doubles the resolution.
        guides: channels of the guidance of each stage, by the image and by the volume alike.
        kernel: side of the depthwise convolutions.
        heads: attention heads over the categories.
        expand: width of the MLPs, times the channels.
        pool: categories mix on a grid coarser by (training, evaluation).
        top_k: in evaluation, only categories that are among the best `top_k` of some cell at one
            resolution go on to the next; None keeps all.
        chunk: categories per slice at inference; smaller is leaner.
    """

    any_level_scale = True
    checkpointed = ("stages.*", "stages.*.space")
    compiled = ("stages.*",)

    def __init__(
        self,
        level_dims: tuple[int, ...],
        cost_dim: int = 80,
        dim: int = 128,
        stage_dims: tuple[int, ...] = (64, 32, 16),
        guides: tuple[int, ...] = (32, 16, 8),
        kernel: int = 9,
        heads: int = 4,
        expand: int = 4,
        pool: tuple[int, int] = (2, 1),
        top_k: int | None = None,
        chunk: int = 8,
    ) -> None:
        super().__init__()
        if not len(level_dims) == len(stage_dims) == len(guides) > 0:
            raise ValueError(
                f"GradualDecoder needs one level, one width and one guidance for each stage, got "
                f"level_dims={level_dims}, stage_dims={stage_dims}, guides={guides}"
            )
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, or None to reject nothing, got {top_k}")
        self.cost_dim, self.level_dims = cost_dim, tuple(level_dims)
        self.pool, self.top_k, self.chunk = tuple(pool), top_k, chunk
        self.embed = nn.Conv2d(cost_dim, dim, 7, padding=3)
        self.level_guides = nn.ModuleList(
            nn.Conv2d(level, guide, 3, padding=1)
            for level, guide in zip(reversed(level_dims), guides)
        )
        self.cost_guides, self.stages = nn.ModuleList(), nn.ModuleList()
        self.aux_heads = nn.ModuleList()
        before = cost_dim
        for guide, out in zip(guides, stage_dims):
            self.cost_guides.append(nn.ConvTranspose2d(before, guide, 2, stride=2))
            self.aux_heads.append(nn.Conv2d(dim, 1, 3, padding=1))
            self.stages.append(gradual_stage(dim, guide, out, kernel, heads, expand))
            before, dim = guide, out
        self.head = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, aligned: Alignment) -> Masks:
        """Logits at 2^stages times the feature grid.

        In training `Masks.aux` holds the logits of every stage's input, coarse first; in evaluation
        the selection is narrowed by `top_k`.
        """
        selection = aligned.selection
        plans = self._plans(aligned.features)
        live_B = selection.valid_BK.sum(1).tolist()
        cost_images = selection.pack(aligned.cost_BKDhw).split(live_B)
        maps, aux, kept = zip(
            *(
                self._one_image(cost_KPhw, [(kernel, offset[i]) for kernel, offset in plans])
                for i, cost_KPhw in enumerate(cost_images)
            )
        )
        if any(map(self._rejects, cost_images)):
            selection, _ = selection.narrow(selection.unpack(torch.cat(kept), fill=False))
        outputs = (selection.unpack(torch.cat(each)) for each in zip(*aux))
        return Masks(selection.unpack(torch.cat(maps)), selection, tuple(outputs))

    def _plans(self, image: ImageFeatures) -> list[tuple[Tensor, Tensor]]:
        """For each stage, its kernel and the offsets (B, c, h, w) of the images' guidance."""
        height, width = image.dense_BChw.shape[-2:]
        plans = []
        for stage, narrow, level_Bchw in zip(
            self.stages, self.level_guides, reversed(image.levels)
        ):
            height, width = 2 * height, 2 * width
            guide_Bchw = resize(F.relu(narrow(level_Bchw.detach())), (height, width))
            kernel, offset_chw = stage.upsample.composed((height, width))
            offset_Bchw = stage.upsample.offset(guide_Bchw) + offset_chw
            plans.append((kernel, offset_Bchw.contiguous(memory_format=torch.channels_last)))
        return plans

    def _rejects(self, cost_KPhw: Tensor) -> bool:
        """Whether any category of an image can be rejected at all; without values none can."""
        enough = self.top_k is not None and len(cost_KPhw) > self.top_k
        return enough and not self.training and not cost_KPhw.is_meta

    def _one_image(
        self, cost_KPhw: Tensor, plans: list[Plan]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """(K, P, h, w) of one image's live categories -> maps of the survivors, auxiliary maps of
        all (in training), and which of the K survive."""
        kept_K = torch.ones(len(cost_KPhw), dtype=torch.bool, device=cost_KPhw.device)
        rejects = self._rejects(cost_KPhw)
        if rejects:
            first = EmbeddedHead(self.embed, self.aux_heads[0])
            keep_K = best_somewhere(map_chunks(first, cost_KPhw, self.chunk), self.top_k)
            cost_KPhw, kept_K = cost_KPhw[keep_K], keep_K
        x_Khwc = map_chunks(lambda x: _last(self.embed(x)), cost_KPhw, self.chunk)
        aux: list[Tensor] = []
        for index, plan in enumerate(plans):
            if self.training:
                aux.append(self._aux(index, x_Khwc.detach()))
            elif rejects and index:
                keep_K = best_somewhere(self._aux(index, x_Khwc), self.top_k)
                cost_KPhw, x_Khwc = cost_KPhw[keep_K], x_Khwc[keep_K]
                kept_K = kept_K.masked_scatter(kept_K, keep_K)
            x_Khwc = self._stage(index, x_Khwc, cost_KPhw, plan)
        return x_Khwc, aux, kept_K

    def _aux(self, index: int, x_Khwc: Tensor) -> Tensor:
        """(K, h, w) logits of a stage's input."""
        head = self.aux_heads[index]
        return map_chunks(lambda x: head(x.permute(0, 3, 1, 2)).squeeze(1), x_Khwc, self.chunk)

    def _stage(self, index: int, x_Khwc: Tensor, cost_KPhw: Tensor, plan: Plan) -> Tensor:
        """(K, h, w, c) -> (K, 2h, 2w, c'); after the last stage the logits (K, 2h, 2w)."""
        stage, last = self.stages[index], index == len(self.stages) - 1
        pool = self.pool[0] if self.training else self.pool[1]
        x_Khwc, sums = stage.mix(x_Khwc, pool, self.chunk)

        def finer(slots_N: Tensor) -> Tensor:
            part = slice(int(slots_N[0]), int(slots_N[-1]) + 1)
            guide_Nchw = cost_KPhw[part]
            for enlarge in self.cost_guides[: index + 1]:
                guide_Nchw = F.relu(enlarge(guide_Nchw))
            y_Nchw = stage(x_Khwc[part], sums, pool, *plan, guide_Nchw)
            return self.head(y_Nchw).squeeze(1) if last else _last(y_Nchw)

        return map_chunks(finer, torch.arange(len(x_Khwc), device="cpu"), self.chunk)


def _last(x_Kchw: Tensor) -> Tensor:
    """Channels last."""
    return x_Kchw.permute(0, 2, 3, 1)

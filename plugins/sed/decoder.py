"""GradualDecoder: fuses and upsamples the cosine volume stage by stage and decodes masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.kernels.portions import Portions
from ovss.layers.chunks import rows_at_once
from ovss.layers.convolution import ConvToOne, WideConv2d
from ovss.layers.guided import map_chunks, map_slices
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, ImageFeatures, Masks

from .rejection import EmbeddedHead, best_somewhere
from .stage import gradual_stage

_EMBEDDING = Portions("gradual_embedding")

Plan = tuple[Tensor, Tensor]
"""Composed kernel of a stage, and the offset (c, h, w) of one image."""


@DECODERS.register_module()
class GradualDecoder(Decoder):
    """Gradual fusion with category early rejection (SED, CVPR 2024, sections 3.2 and 3.3).

    Gradients follow the released code. The encoder's levels guide the decoder but get no gradient.
    Auxiliary heads see detached maps, so that their losses train these heads only.

    Images are processed one at a time with their valid categories only. The result of an image
    therefore depends neither on the other images of the batch nor on padding. Without gradients, at
    most `chunk` categories are processed at a time on a CPU, and on other devices as many as fit.

    Args:
        level_dims: channels of the encoder's levels, shallow first, one for each stage. The deepest
            level guides the first stage. Levels may have any resolution.
        cost_dim: D of the head, the number of prompt templates.
        dim: channels of the embedded volume.
        stage_dims: output channels of the stages, each of which doubles the resolution.
        guides: channels of each stage's guidance, the same for image and volume.
        kernel: side of the depthwise convolutions.
        heads: attention heads over the categories.
        expand: width of the MLPs as a multiple of the channels.
        pool: pooling factor before class attention in (training, evaluation).
        top_k: rank limit of early rejection in evaluation. A category goes on to the next stage
            only if it is among the best `top_k` of at least one cell; None keeps all categories.
        chunk: categories processed at a time at inference; smaller values need less memory.

    Raises:
        ValueError: lengths that differ, an even kernel, or a number out of range.
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
                f"GradualDecoder expects one level, one width and one guidance for each stage, but "
                f"got level_dims={level_dims}, stage_dims={stage_dims}, guides={guides}. "
                "Give all three the same length."
            )
        if top_k is not None and top_k < 1:
            raise ValueError(
                f"GradualDecoder expects top_k of at least 1, but got {top_k}. "
                "Set top_k=None to reject no category."
            )
        check_range("GradualDecoder", 1, heads=heads, expand=expand, chunk=chunk, kernel=kernel)
        check_range("GradualDecoder", 1, cost_dim=cost_dim, dim=dim, pool=min(pool))
        if kernel % 2 == 0:
            raise ValueError(
                f"GradualDecoder expects an odd kernel, but got {kernel}. Use {kernel + 1}, for "
                f"example."
            )
        self.cost_dim, self.level_dims = cost_dim, tuple(level_dims)
        self.pool, self.top_k, self.chunk = tuple(pool), top_k, chunk
        self.widening = max(expand, 4)  # of the MLPs, and of twice the rows and columns
        self.embed = WideConv2d(cost_dim, dim, 7)
        self.level_guides = nn.ModuleList(
            nn.Conv2d(level, guide, 3, padding=1)
            for level, guide in zip(reversed(level_dims), guides)
        )
        self.cost_guides, self.stages = nn.ModuleList(), nn.ModuleList()
        self._portions = [Portions(f"gradual_stage_{i}") for i in range(len(stage_dims))]
        self.aux_heads = nn.ModuleList()
        before = cost_dim
        for guide, out in zip(guides, stage_dims):
            self.cost_guides.append(nn.ConvTranspose2d(before, guide, 2, stride=2))
            self.aux_heads.append(ConvToOne(dim))
            self.stages.append(gradual_stage(dim, guide, out, kernel, heads, expand))
            before, dim = guide, out
        self.head = ConvToOne(dim)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at 2^stages times the resolution of the feature grid.

        In training, `Masks.aux` holds the logits of every stage's input, coarse first. In
        evaluation, `top_k` narrows the selection.
        """
        selection = aligned.selection
        plans = self._plans(aligned.features)
        count_B = list(selection.counts)
        cost_images = selection.pack(aligned.cost_BKDhw).split(count_B)
        maps, aux, kept = zip(
            *(
                self._one_image(cost_KPhw, [(kernel, offset[i]) for kernel, offset in plans])
                for i, cost_KPhw in enumerate(cost_images)
            )
        )
        if any(map(self._rejects, cost_images)):
            counts_B = [each.shape[0] for each in maps]
            kept_BK = selection.unpack(torch.cat(kept), fill=False)
            selection, _ = selection.narrow(kept_BK, counts_B)
        aux_outputs = (selection.unpack(torch.cat(each)) for each in zip(*aux))
        return Masks(selection.unpack(torch.cat(maps)), selection, tuple(aux_outputs))

    def _plans(self, image: ImageFeatures) -> list[tuple[Tensor, Tensor]]:
        """Kernel of each stage, and the offsets (B, c, h, w) from the images' guidance."""
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
        """Tests if any category of an image can be rejected."""
        # Meta tensors have no values to rank by.
        if self.top_k is None or self.training or cost_KPhw.is_meta:
            return False
        # an exported graph is the same for any number of categories; it rejects none of a few
        return torch.compiler.is_exporting() or cost_KPhw.shape[0] > self.top_k

    def _one_image(
        self, cost_KPhw: Tensor, plans: list[Plan]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Decodes one image's valid categories (K, P, h, w).

        Returns:
            Maps of the surviving categories, auxiliary maps (in training), and a (K,) mask of the
            survivors.
        """
        count, rejects = cost_KPhw.shape[0], self._rejects(cost_KPhw)
        left_N = torch.arange(count, device=cost_KPhw.device)
        if rejects:
            first = EmbeddedHead(self.embed, self.aux_heads[0])
            left_N = best_somewhere(
                map_chunks(first, cost_KPhw, self._at_once(cost_KPhw)), self.top_k
            )
            cost_KPhw = cost_KPhw[left_N]
        chunk = self._at_once(cost_KPhw)
        x_Khwc = map_chunks(
            lambda x: _channels_last(self.embed(x)), cost_KPhw, chunk, portions=_EMBEDDING
        )
        aux: list[Tensor] = []
        for index, plan in enumerate(plans):
            if self.training:
                aux.append(self._aux(index, x_Khwc.detach()))
            elif rejects and index:
                keep_N = best_somewhere(self._aux(index, x_Khwc), self.top_k)
                cost_KPhw, x_Khwc, left_N = cost_KPhw[keep_N], x_Khwc[keep_N], left_N[keep_N]
            x_Khwc = self._stage(index, x_Khwc, cost_KPhw, plan)
        kept_K = torch.zeros(count, dtype=torch.bool, device=left_N.device)
        return x_Khwc, aux, kept_K.index_fill_(0, left_N, True)

    def _at_once(self, x_K: Tensor) -> int:
        """Number of categories processed at a time, from their maps or their volume."""
        return rows_at_once(self.chunk, x_K, self.widening * x_K[0].numel())

    def _aux(self, index: int, x_Khwc: Tensor) -> Tensor:
        """Auxiliary logits (K, h, w) of a stage's input."""
        head, chunk = self.aux_heads[index], self._at_once(x_Khwc)
        return map_chunks(lambda x: head(x.permute(0, 3, 1, 2)).squeeze(1), x_Khwc, chunk)

    def _stage(self, index: int, x_Khwc: Tensor, cost_KPhw: Tensor, plan: Plan) -> Tensor:
        """Runs a stage: (K, h, w, c) -> (K, 2h, 2w, c'), or logits (K, 2h, 2w) after the last."""
        stage, last = self.stages[index], index == len(self.stages) - 1
        pool = self.pool[0] if self.training else self.pool[1]
        chunk = self._at_once(x_Khwc)
        x_Khwc, sums = stage.mix(x_Khwc, pool, chunk)

        def finer(part: slice) -> Tensor:
            guide_Nchw = cost_KPhw[part]
            for enlarge in self.cost_guides[: index + 1]:
                guide_Nchw = F.relu(enlarge(guide_Nchw))
            y_Nchw = stage(x_Khwc[part], sums, pool, *plan, guide_Nchw)
            return self.head(y_Nchw).squeeze(1) if last else _channels_last(y_Nchw)

        return map_slices(finer, x_Khwc, chunk, (), portions=self._portions[index])


def _channels_last(x_Kchw: Tensor) -> Tensor:
    """Moves the channels to the last axis."""
    return x_Kchw.permute(0, 2, 3, 1)

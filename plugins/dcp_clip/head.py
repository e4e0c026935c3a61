"""TextGuidedHead: builds the cost volume and refines it with text guidance, eq. 6 to 12."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import AlignmentHead
from ovss.kernels.portions import Portions
from ovss.layers.chunks import pair_groups, rows_at_once
from ovss.layers.convolution import WideConv2d
from ovss.layers.guided import map_chunks
from ovss.layers.linear import Linear, linear
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures

from .attention import ACTIVATIONS, NORMS, CrossBlock, JointLinear, SelfBlock
from .guidance import INTERACTIONS, PROMPTS, SCALES, TextGuidance
from .options import at_least, one_of

_NAME = "TextGuidedHead"
_PORTIONS = Portions("dcp_clip_head_pairs")


@HEADS.register_module()
class TextGuidedHead(AlignmentHead):
    """Embedded cosines under every template, fused with cells that have attended to the text.

    Everything except the cross attention is computed for one (image, category) pair at a time, for
    valid pairs only. The contribution of the cells to every pair is computed once per image.
    Without gradients, at most `chunk` pairs are processed at a time.

    Args:
        joint_dim: C of the encoder.
        num_templates: P, the number of prompt templates.
        dim: channels of the volume.
        embed_kernel: side of the convolution that embeds the cosines, odd.
        cross_attention: use of cross attention (Table IV); False fuses the plain cells.
        self_attention: use of self attention (Table IV); False adds a linear map of volume and
            cells to the volume. With both off, the volume is only embedded.
        interaction: interaction of text and image embedding, see `TextGuidance`: ``hadamard``,
            ``logit``, or ``none`` (Table V).
        interaction_scale: scale of the Hadamard product: ``sqrt_d``, ``one`` or ``ln``.
        temperature: factor of the cosine in ``logit``.
        prompt: form of the learnable prompt: ``channel_shared``, ``extra_tokens``, or ``none``
            (Table V).
        prompt_dim: channels of the shared prompt; None is C.
        prompt_tokens: number of learnable vectors in ``extra_tokens``.
        guidance_dim: channels of the guidance; None is C.
        cross_input: cells with their own norm (``raw``) or with norm sqrt(C) (``l2_sqrt_d``).
        cross_heads: heads of cross attention; None is one for each 64 channels.
        cross_layers, self_layers: number of blocks of each attention.
        self_axis: axis of self attention, ``spatial`` for the cells of a map, ``class`` for the
            categories at a cell, ``both`` for one after the other.
        self_residual: ``cost`` or ``proj_cat``, see `SelfBlock`.
        self_heads: heads of self attention.
        expand: width of the MLPs as a multiple of their channels.
        norm: position of the layer norms, ``post`` or ``pre``.
        activation: activation of the MLPs, ``gelu`` or ``relu``.
        chunk: categories processed at a time at inference.

    Raises:
        ValueError: an argument out of range.
    """

    checkpointed = ("",)

    def __init__(
        self,
        joint_dim: int,
        num_templates: int = 80,
        dim: int = 128,
        embed_kernel: int = 7,
        cross_attention: bool = True,
        self_attention: bool = True,
        interaction: str = "hadamard",
        interaction_scale: str = "sqrt_d",
        temperature: float = 100.0,
        prompt: str = "channel_shared",
        prompt_dim: int | None = None,
        prompt_tokens: int = 8,
        guidance_dim: int | None = None,
        cross_input: str = "raw",
        cross_heads: int | None = None,
        cross_layers: int = 1,
        self_axis: str = "spatial",
        self_residual: str = "cost",
        self_heads: int = 4,
        self_layers: int = 1,
        expand: int = 4,
        norm: str = "post",
        activation: str = "gelu",
        chunk: int = 16,
    ) -> None:
        super().__init__()
        cross_heads = max(1, joint_dim // 64) if cross_heads is None else cross_heads
        one_of(_NAME, "interaction", interaction, INTERACTIONS)
        one_of(_NAME, "interaction_scale", interaction_scale, SCALES)
        one_of(_NAME, "prompt", prompt, PROMPTS)
        one_of(_NAME, "norm", norm, NORMS)
        one_of(_NAME, "activation", activation, tuple(ACTIVATIONS))
        one_of(_NAME, "self_residual", self_residual, ("cost", "proj_cat"))
        at_least(
            _NAME, 1, num_templates=num_templates, dim=dim, embed_kernel=embed_kernel, chunk=chunk
        )
        at_least(_NAME, 1, cross_layers=cross_layers, self_layers=self_layers, expand=expand)
        at_least(_NAME, 1, cross_heads=cross_heads, self_heads=self_heads)
        at_least(_NAME, 1, prompt_tokens=prompt_tokens)
        if embed_kernel % 2 == 0:
            raise ValueError(
                f"{_NAME} expects an odd embed_kernel, but got {embed_kernel}. "
                f"Use {embed_kernel + 1}, for example."
            )
        if joint_dim % cross_heads or dim % self_heads:
            raise ValueError(
                f"{_NAME} expects cross_heads to divide joint_dim and self_heads to divide dim, "
                f"but got cross_heads={cross_heads} for joint_dim={joint_dim} and "
                f"self_heads={self_heads} for dim={dim}. Change the number of heads."
            )
        self.joint_dim, self.cost_dim, self.raw_dim = joint_dim, dim, num_templates
        self.num_templates = num_templates
        self.cross_input = one_of(_NAME, "cross_input", cross_input, ("raw", "l2_sqrt_d"))
        self_axis = one_of(_NAME, "self_axis", self_axis, ("spatial", "class", "both"))
        self.chunk, self.expand = chunk, expand
        self.embed = WideConv2d(num_templates, dim, embed_kernel)
        self.guidance: TextGuidance | None = None
        self.cross = nn.ModuleList()
        if cross_attention:
            out = joint_dim if guidance_dim is None else guidance_dim
            prompt_dim = joint_dim if prompt_dim is None else prompt_dim
            self.guidance = TextGuidance(
                joint_dim=joint_dim,
                interaction=interaction,
                scale=interaction_scale,
                temperature=temperature,
                prompt=prompt,
                prompt_dim=prompt_dim,
                prompt_tokens=prompt_tokens,
                out=out,
            )
            self.cross.extend(
                CrossBlock(joint_dim, out, cross_heads, expand, norm, activation)
                for _ in range(cross_layers)
            )
        fused = cross_attention or self_attention
        self.shrink = Linear(joint_dim, dim) if fused else None
        self.fuse = JointLinear(dim, dim, dim) if fused and not self_attention else None
        axes = {"spatial": (1, 0), "class": (0, 1), "both": (1, 1)}[self_axis]
        self.spatial, self.classes = (
            nn.ModuleList(
                SelfBlock(dim, self_heads, expand, norm, activation, self_residual)
                for _ in range(self_layers * on if self_attention else 0)
            )
            for on in axes
        )

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        """Aligns image and text; the plain cosines are returned as `Alignment.raw_BKPhw`.

        Raises:
            ValueError: the text has another number of templates.
        """
        if text.num_templates != self.raw_dim:
            raise ValueError(
                f"{_NAME} expects {self.raw_dim} prompt templates, but the text has "
                f"{text.num_templates}. Set num_templates={text.num_templates} or "
                "choose other templates."
            )
        text_BKPC = text.rows(selection.index_BK)
        shared_BNd = self._cells(image, text_BKPC, selection)
        unit_BCN = F.normalize(image.dense_BChw.flatten(2), dim=1)
        grid = tuple(image.dense_BChw.shape[-2:])
        # attention between the categories of an image must not see padding slots
        pairs = selection if len(self.classes) else selection.pairs
        raw_MPhw = _cosines(text_BKPC, unit_BCN, pairs).unflatten(2, grid)
        cost_MDhw = self._refined(raw_MPhw, shared_BNd, pairs)
        return Alignment(
            cost_BKDhw=pairs.unpack(cost_MDhw),
            features=image,
            text=text,
            selection=selection,
            raw_BKPhw=pairs.unpack(raw_MPhw),
        )

    def _cells(
        self, image: ImageFeatures, text_BKPC: Tensor, selection: Selection
    ) -> Tensor | None:
        """Cells (B, N, d) that the maps are fused with, after cross attention to the text."""
        if self.shrink is None:
            return None
        cells_BNC = image.dense_BChw.flatten(2).transpose(1, 2)
        if self.guidance is None:
            return self.shrink(cells_BNC)
        unit_BKC = F.normalize(text_BKPC.mean(2), dim=-1)
        guide_BKG = self.guidance(unit_BKC, image.pooled_BC)
        allowed_BK = selection.valid_BK
        if self.guidance.tokens is not None:
            tokens_BLG = self.guidance.tokens.expand(guide_BKG.shape[0], -1, -1).to(guide_BKG.dtype)
            guide_BKG = torch.cat([guide_BKG, tokens_BLG], dim=1)
            allowed_BK = F.pad(allowed_BK, (0, tokens_BLG.shape[1]), value=True)
        allowed_B11K = None if selection.full else allowed_BK[:, None, None]
        if self.cross_input == "l2_sqrt_d":
            cells_BNC = F.normalize(cells_BNC, dim=2) * self.joint_dim**0.5
        for block in self.cross:
            cells_BNC = block(cells_BNC, guide_BKG, allowed_B11K)
        return self.shrink(cells_BNC)

    def _refined(self, raw_MPhw: Tensor, shared_BNd: Tensor | None, pairs: Selection) -> Tensor:
        """Refines the cosines of the M valid pairs of a batch: (M, P, h, w) -> (M, d, h, w)."""
        spatial = [(block, block.offsets(shared_BNd)) for block in self.spatial]
        fused = None if self.fuse is None else self.fuse.offset(shared_BNd)
        grid, out = raw_MPhw.shape[-2:], []
        row = grid.numel() * max(self.raw_dim, self.expand * self.cost_dim)
        for group in pair_groups(pairs, self.chunk, raw_MPhw, row, _PORTIONS):
            x_mNd = self.embed(raw_MPhw[group.rows]).flatten(2).transpose(1, 2)
            if self.fuse is not None:
                x_mNd = x_mNd + self.fuse(x_mNd, fused[group.images])
            for block, (qkv_BNd, join_BNd) in spatial:
                join_mNd = None if join_BNd is None else join_BNd[group.images]
                x_mNd = block(x_mNd, (qkv_BNd[group.images], join_mNd))
            out.append(x_mNd)
        x_MNd = torch.cat(out)
        if len(self.classes):
            x_MNd = torch.cat(
                [
                    self._between_categories(x_KNd, shared_Nd)
                    for x_KNd, shared_Nd in zip(
                        x_MNd.split(list(pairs.counts)), shared_BNd, strict=True
                    )
                ]
            )
        return x_MNd.transpose(1, 2).unflatten(2, grid)

    def _between_categories(self, x_KNd: Tensor, shared_Nd: Tensor) -> Tensor:
        """Applies attention among the categories of an image at every cell."""
        for block in self.classes:
            x_KNd = self._cell_by_cell(block, x_KNd, shared_Nd)
        return x_KNd

    def _cell_by_cell(self, block: SelfBlock, x_KNd: Tensor, shared_Nd: Tensor) -> Tensor:
        """Applies a block among the categories, some cells at a time."""
        # Each cell carries its shared features as one more row, so that slices stay aligned.
        both = torch.cat([x_KNd.transpose(0, 1), shared_Nd[:, None].to(x_KNd.dtype)], dim=1)

        def cells(part_nKd: Tensor) -> Tensor:
            return block(part_nKd[:, :-1], block.offsets(part_nKd[:, -1:]))

        row = x_KNd.shape[0] * max(x_KNd.shape[0], self.expand * self.cost_dim)
        size = max(1, self.chunk * both.shape[0] // x_KNd.shape[0])
        return map_chunks(cells, both, rows_at_once(size, both, row)).transpose(0, 1)


def _cosines(text_BKPC: Tensor, unit_BCN: Tensor, pairs: Selection) -> Tensor:
    """Cosines (M, P, N) of the cells with every template of the M valid pairs."""
    if unit_BCN.device.type not in ("cpu", "meta"):
        # padding slots cost less than a call for each image
        volume_BMN = text_BKPC.flatten(1, 2) @ unit_BCN
        return pairs.pack(volume_BMN.unflatten(1, text_BKPC.shape[1:3]))
    text_images = pairs.pack(text_BKPC).split(list(pairs.counts))
    return torch.cat(
        [
            linear(text_KPC.flatten(0, 1), unit_CN.t()).unflatten(0, text_KPC.shape[:2])
            for text_KPC, unit_CN in zip(text_images, unit_BCN, strict=True)
        ]
    )

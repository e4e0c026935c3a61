"""Blocks of a decoder stage, and the guidance by visual prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.fusion import ClassBlock, FusionStage, added, pooled
from ovss.layers.guided import mlp
from ovss.layers.upsample import GuidedUpsample
from ovss.ops import resize

_CONV_EPS = 1e-6
AXES = ("class", "spatial")
REDUCTIONS = ("conv1x1_m", "mean_m")


class HybridDilatedBlock(nn.Module):
    """MLP(HDConv(F)) with a residual, applied to the map of every category separately.

    HDConv is a chain of depthwise 3 x 3 convolutions with growing dilation. With dilations 1, 2 and
    4 each cell sees 15 x 15 cells through 27 weights.

    Args:
        dim: channels.
        dilations: dilations of the convolutions.
        hidden: channels inside the MLP.
    """

    def __init__(self, dim: int, dilations: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.dilated = nn.Sequential(
            *(nn.Conv2d(dim, dim, 3, padding=d, dilation=d, groups=dim) for d in dilations)
        )
        self.norm = nn.LayerNorm(dim, eps=_CONV_EPS)
        self.mlp = mlp(dim, hidden, nn.GELU())
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x_Khwc: Tensor) -> Tensor:
        """Mixes the cells of every map (K, h, w, c)."""
        near_Khwc = self.dilated(x_Khwc.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_Khwc + self.gamma * self.mlp(self.norm(near_Khwc))


class SpatialBlock(nn.Module):
    """Linear attention among the cells of a category's map, by the layers of a `ClassBlock`.

    Args:
        dim, heads, hidden: see `ClassBlock`.
        pool: side of the average pooling before the attention in (training, evaluation).
    """

    def __init__(self, dim: int, heads: int, hidden: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.block, self.pool = ClassBlock(dim, heads, hidden), pool

    def forward(self, x_Khwc: Tensor) -> Tensor:
        """Applies attention among the cells of every map (K, h, w, c)."""
        y_Khwc = pooled(x_Khwc, self.pool[0] if self.training else self.pool[1])
        # `ClassBlock` attends along the first axis, so cells take the place of categories.
        cells_NK1c = y_Khwc.flatten(1, 2).transpose(0, 1)[:, :, None]
        sums = self.block.sums(cells_NK1c, 1, cells_NK1c.shape[0])
        seen_NK1c = self.block.attend(cells_NK1c, sums)
        seen_Khwc = seen_NK1c[:, :, 0].transpose(0, 1).reshape(y_Khwc.shape)
        return added(x_Khwc, seen_Khwc)


def cvgd_stage(
    dim: int,
    image_guide: int,
    visual_guide: int,
    out: int,
    dilations: tuple[int, ...],
    heads: int,
    expand: int,
    axis: str,
    pool: tuple[int, int],
) -> FusionStage:
    """Builds a stage: Z = SelfAttn(MLP(HDConv(F))), then Conv([Deconv(Z); visual; image]).

    Args:
        dim: input channels.
        image_guide: channels of the guidance by the image.
        visual_guide: channels of the guidance by visual prompts; 0 for none.
        out: output channels.
        dilations: dilations of the convolutions.
        heads: attention heads.
        expand: width of the MLPs as a multiple of `dim`.
        axis: axis of the attention, ``class`` or ``spatial``.
        pool: side of the average pooling before spatial attention in (training, evaluation).
    """
    space: nn.Module = HybridDilatedBlock(dim, dilations, expand * dim)
    classes = None
    if axis == "class":
        classes = ClassBlock(dim, heads, expand * dim)
    else:
        space = nn.Sequential(space, SpatialBlock(dim, heads, expand * dim, pool))
    upsample = GuidedUpsample(dim, dim - image_guide, image_guide, out, skip=visual_guide)
    return FusionStage(space, classes, upsample)


class VisualGuide(nn.Module):
    """Projection of F_v^j, the cosines of a level's cells with M visual prompts, to c channels.

    F_v^j (h, w, K, M) itself is never created. A 1 x 1 convolution over the M cosines is linear in
    the prompts of norm 1, so the prompts are mixed first:
    sum_m w_cm cos(E, V_m) = E/|E| . sum_m w_cm V_m/|V_m|.

    Args:
        prompts: number M of visual prompts.
        out: number c of output channels.
        reduce: ``conv1x1_m`` to learn w, or ``mean_m`` for the mean over M times c learned factors.
    """

    def __init__(self, prompts: int, out: int, reduce: str) -> None:
        super().__init__()
        self.reduce = reduce
        self.mix = nn.Linear(prompts if reduce == "conv1x1_m" else 1, out)

    def forward(self, level_Dhw: Tensor, prompts_KMD: Tensor, size: tuple[int, int]) -> Tensor:
        """Computes the guidance (K, c, *size) of one image, after a ReLU.

        Args:
            level_Dhw: level of the image.
            prompts_KMD: averaged visual prompts of its categories at the scale of the level.
            size: (height, width) of the result.
        """
        unit_KMD = F.normalize(prompts_KMD, dim=2)
        if self.reduce == "mean_m":
            unit_KMD = unit_KMD.mean(1, keepdim=True)
        mixed_KcD = torch.einsum("kmd,cm->kcd", unit_KMD, self.mix.weight)
        unit_DN = F.normalize(level_Dhw.flatten(1), dim=0)
        volume_KcN = mixed_KcD @ unit_DN.to(mixed_KcD.dtype) + self.mix.bias[:, None]
        return F.relu(resize(volume_KcN.unflatten(2, level_Dhw.shape[1:]), size))

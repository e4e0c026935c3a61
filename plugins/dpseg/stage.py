"""What a stage of the decoder mixes with, and the guidance by visual prompts."""

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
    """MLP(HDConv(F)) with a residual, on every category's map by itself.

    3 x 3 convolutions of growing dilation, one after the other, each for every channel by itself:
    with dilations 1, 2, 4 a cell sees 15 x 15 others through 27 weights.

    Args:
        dim: channels.
        dilations: of the convolutions.
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
        near_Khwc = self.dilated(x_Khwc.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x_Khwc + self.gamma * self.mlp(self.norm(near_Khwc))


class SpatialBlock(nn.Module):
    """Cells of a category's map look at each other, by the same linear attention.

    Args:
        dim, heads, hidden: see `ClassBlock`.
        pool: side of the average pooling before, (training, evaluation).
    """

    def __init__(self, dim: int, heads: int, hidden: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.block, self.pool = ClassBlock(dim, heads, hidden), pool

    def forward(self, x_Khwc: Tensor) -> Tensor:
        y_Khwc = pooled(x_Khwc, self.pool[0] if self.training else self.pool[1])
        cells_NK1c = y_Khwc.flatten(1, 2).transpose(0, 1)[:, :, None]
        sums = self.block.sums(cells_NK1c, 1, len(cells_NK1c))
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
    """Z = SelfAttn(MLP(HDConv(F))), then Conv([Deconv(Z); volume's guidance; image's guidance])."""
    space: nn.Module = HybridDilatedBlock(dim, dilations, expand * dim)
    classes = None
    if axis == "class":
        classes = ClassBlock(dim, heads, expand * dim)
    else:
        space = nn.Sequential(space, SpatialBlock(dim, heads, expand * dim, pool))
    upsample = GuidedUpsample(dim, dim - image_guide, image_guide, out, skip=visual_guide)
    return FusionStage(space, classes, upsample)


class VisualGuide(nn.Module):
    """proj(F_v^j): cosines of a level's cells with every averaged visual prompt, M into c channels.

    F_v^j (h, w, K, M) is never made. A 1 x 1 convolution over the M cosines is linear in the unit
    prompts, so these are mixed first: sum_m w_cm cos(E, V_m) = E/|E| . sum_m w_cm V_m/|V_m|.

    Args:
        prompts: M.
        out: c.
        reduce: ``conv1x1_m`` learns w; ``mean_m`` takes the mean, then c multiples of it.
    """

    def __init__(self, prompts: int, out: int, reduce: str) -> None:
        super().__init__()
        self.reduce = reduce
        self.mix = nn.Linear(prompts if reduce == "conv1x1_m" else 1, out)

    def forward(self, level_Dhw: Tensor, prompts_KMD: Tensor, size: tuple[int, int]) -> Tensor:
        """One image's level and its categories' prompts -> (K, c, *size), after a ReLU."""
        unit_KMD = F.normalize(prompts_KMD, dim=2)
        if self.reduce == "mean_m":
            unit_KMD = unit_KMD.mean(1, keepdim=True)
        mixed_KcD = torch.einsum("kmd,cm->kcd", unit_KMD, self.mix.weight)
        unit_DN = F.normalize(level_Dhw.flatten(1), dim=0)
        volume_KcN = mixed_KcD @ unit_DN.to(mixed_KcD.dtype) + self.mix.bias[:, None]
        return F.relu(resize(volume_KcN.unflatten(2, level_Dhw.shape[1:]), size))

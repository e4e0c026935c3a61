"""DPT: dense features from four levels of a backbone (Ranftl et al., ICCV 2021, 2103.13413)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FeatureFusion", "Reassemble"]


class Reassemble(nn.Module):
    """Turns the tokens of a transformer into a map of another resolution.

    The class token is projected into every patch: a linear map of [patch, class token] and GELU.

    Args:
        width: number of channels of a token.
        dim: number of channels of the map.
        scale: size of the map relative to the grid of patches: a whole number, or the inverse of
            one.

    Raises:
        ValueError: another scale.
    """

    def __init__(self, width: int, dim: int, scale: float) -> None:
        super().__init__()
        self.readout = nn.Linear(2 * width, width)
        self.project = nn.Conv2d(width, dim, 1)
        self.resample = _resample(dim, scale)

    def forward(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Computes the map (B, dim, H, W).

        Args:
            tokens_BND: class token, then h * w patches.
            grid: (h, w).
        """
        width = tokens_BND.shape[2]
        # [patch, class] W = patch W1 + class W2: the second part is the same for all patches
        patch_weight, class_weight = self.readout.weight.split(width, dim=1)
        class_B1D = F.linear(tokens_BND[:, :1], class_weight, self.readout.bias)
        x_BND = F.gelu(F.linear(tokens_BND[:, 1:], patch_weight) + class_B1D)
        return self.resample(self.project(x_BND.transpose(1, 2).unflatten(2, grid)))


def _resample(dim: int, scale: float) -> nn.Module:
    if scale == 1:
        return nn.Identity()
    up, down = round(scale), round(1 / scale) if scale > 0 else 0
    if scale > 1 and up == scale:
        return nn.ConvTranspose2d(dim, dim, up, stride=up)
    if 0 < scale < 1 and abs(down * scale - 1) < 1e-9:
        return nn.Conv2d(dim, dim, 3, stride=down, padding=1)
    raise ValueError(
        f"A level of DPT has a whole number as its scale, or the inverse of one, got {scale}."
    )


class ResidualUnit(nn.Module):
    """Two convolutions with batch norms, each after a ReLU, added to the input.

    Args:
        dim: number of channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(dim), nn.BatchNorm2d(dim)

    def forward(self, x_BDhw: Tensor) -> Tensor:
        """Computes the unit."""
        y_BDhw = self.bn1(self.conv1(F.relu(x_BDhw)))
        return x_BDhw + self.bn2(self.conv2(F.relu(y_BDhw)))


class Refinement(nn.Module):
    """Adds a level to the coarser map and doubles the resolution.

    Args:
        dim: number of channels.
        has_level: False for the coarsest level, which has nothing to be added to.
    """

    def __init__(self, dim: int, has_level: bool) -> None:
        super().__init__()
        self.level = ResidualUnit(dim) if has_level else None
        self.joint = ResidualUnit(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, x_BDhw: Tensor, level_BDhw: Tensor | None = None) -> Tensor:
        """Computes the finer map.

        Args:
            x_BDhw: coarser map, at the resolution of the level.
            level_BDhw: the level.
        """
        if self.level is not None and level_BDhw is not None:
            x_BDhw = x_BDhw + self.level(level_BDhw)
        x_BDhw = F.interpolate(
            self.joint(x_BDhw), scale_factor=2, mode="bilinear", align_corners=True
        )
        return self.out(x_BDhw)


class FeatureFusion(nn.Module):
    """Fuses levels from coarse to fine. Each must be twice as fine as the next.

    Args:
        level_dims: number of channels of each level, fine first.
        dim: number of channels of the result.
    """

    def __init__(self, level_dims: Sequence[int], dim: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(
            nn.Conv2d(level, dim, 3, padding=1, bias=False) for level in level_dims
        )
        last = len(level_dims) - 1
        self.refine = nn.ModuleList(Refinement(dim, i < last) for i in range(last + 1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Computes a map that is twice as fine as the first level."""
        narrow = [layer(level) for layer, level in zip(self.narrow, levels, strict=True)]
        x_BDhw = self.refine[-1](narrow[-1])
        for refine, level_BDhw in zip(self.refine[-2::-1], narrow[-2::-1], strict=True):
            x_BDhw = refine(x_BDhw, level_BDhw)
        return x_BDhw

"""ResNets as detection and segmentation frameworks use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FrozenNorm", "ResNet"]

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
DIMS = (256, 512, 1024, 2048)
_DILATED = {
    32: ((1, 1), (2, 1), (2, 1), (2, 1)),
    16: ((1, 1), (2, 1), (2, 1), (1, 2)),
    8: ((1, 1), (2, 1), (1, 2), (1, 4)),
}
"""Output stride -> stride and dilation of each stage."""


class FrozenNorm(nn.Module):
    """Batch norm whose statistics and affine parameters are buffers, so that nothing trains.

    Args:
        dim: number of channels.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        for name in ("weight", "running_var"):
            self.register_buffer(name, torch.ones(dim))
        for name in ("bias", "running_mean"):
            self.register_buffer(name, torch.zeros(dim))

    def forward(self, x_BDhw: Tensor) -> Tensor:
        """Normalises with the stored statistics."""
        return F.batch_norm(x_BDhw, self.running_mean, self.running_var, self.weight, self.bias)


@dataclass(frozen=True)
class _Kind:
    """Variant of a block: its norms, and the place of its stride."""

    norm: Callable[[int], nn.Module] = FrozenNorm
    stride_first: bool = False


class Bottleneck(nn.Module):
    """Residual block with the dilation in its 3 x 3 convolution, and the stride there or before."""

    def __init__(
        self, before: int, dim: int, stride: int, dilation: int, kind: _Kind = _Kind()
    ) -> None:
        super().__init__()
        middle = dim // 4
        first, second = (stride, 1) if kind.stride_first else (1, stride)
        self.conv1 = nn.Conv2d(before, middle, 1, first, bias=False)
        self.bn1 = kind.norm(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, second, dilation, dilation, bias=False)
        self.bn2 = kind.norm(middle)
        self.conv3 = nn.Conv2d(middle, dim, 1, bias=False)
        self.bn3 = kind.norm(dim)
        self.downsample: nn.Module = nn.Identity()
        if before != dim:
            shortcut = nn.Conv2d(before, dim, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, kind.norm(dim))

    def forward(self, x_BDhw: Tensor) -> Tensor:
        """Computes the block."""
        y_BDhw = self.bn1(self.conv1(x_BDhw)).relu_()
        y_BDhw = self.bn2(self.conv2(y_BDhw)).relu_()
        return (self.bn3(self.conv3(y_BDhw)) + self.downsample(x_BDhw)).relu_()


class ResNet(nn.Module):
    """ResNet-50 or -101 that gives the outputs of its four stages (CVPR 2016, v1.5).

    Args:
        depth: 50 or 101.
        deep_stem: True for three 3 x 3 convolutions with 64, 64 and 128 channels in place of one of
            7 x 7 with 64 (DeepLab's R50c and R101c).
        dilations: dilation in each block of the last stage, relative to that of `output_stride`.
        frozen_stages: number of parts that do not train, counted from the stem; 2 stands for the
            stem and the first stage.
        output_stride: stride of the last stage: 32, 16 or 8. Smaller strides dilate the last stage,
            or the last two, instead.
        frozen_norms: False for batch norms that train, as in pre-training.
        stride_first: True for the stride in the first 1 x 1 convolution of a block and a stem
            that pools with rounding up, as in Caffe's models; False as in torchvision.

    Attributes:
        dims: number of channels of each output.

    Raises:
        ValueError: another depth, or a number out of range.
    """

    dims = DIMS

    def __init__(
        self,
        depth: int = 101,
        deep_stem: bool = False,
        dilations: Sequence[int] = (1, 1, 1),
        frozen_stages: int = 0,
        output_stride: int = 32,
        frozen_norms: bool = True,
        stride_first: bool = False,
    ) -> None:
        super().__init__()
        if output_stride not in _DILATED:
            raise ValueError(f"ResNet expects output_stride of 32, 16 or 8, got {output_stride}.")
        if depth not in BLOCKS or not 0 <= frozen_stages <= 5:
            raise ValueError(
                f"ResNet expects depth of {' or '.join(map(str, BLOCKS))} and frozen_stages in "
                f"0..5, got {depth} and {frozen_stages}."
            )
        if len(dilations) != BLOCKS[depth][-1] or min(dilations) < 1:
            raise ValueError(
                f"ResNet expects one dilation of at least 1 for each of the {BLOCKS[depth][-1]} "
                f"blocks of its last stage, got {list(dilations)}."
            )
        self.deep_stem, self.frozen_norms = deep_stem, frozen_norms
        kind = _Kind(FrozenNorm if frozen_norms else nn.BatchNorm2d, stride_first)
        self.stem = _stem(deep_stem, kind)
        self.stages = nn.ModuleList()
        before = 128 if deep_stem else 64
        for stage, (dim, blocks) in enumerate(zip(DIMS, BLOCKS[depth])):
            stride, dilation = _DILATED[output_stride][stage]
            rates = [dilation * r for r in (dilations if stage == 3 else (1,) * blocks)]
            strides = [stride, *(1,) * (blocks - 1)]
            befores = [before, *(dim,) * (blocks - 1)]
            self.stages.append(
                nn.Sequential(
                    *(Bottleneck(b, dim, s, r, kind) for b, s, r in zip(befores, strides, rates))
                )
            )
            before = dim
        for part in (self.stem, *self.stages)[:frozen_stages]:
            part.requires_grad_(False)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Computes the maps of the four stages; their strides are 4, 8, 16 and 32 at most.

        Args:
            image_B3HW: normalised pixels.
        """
        x_BDhw, maps = self.stem(image_B3HW), []
        for stage in self.stages:
            x_BDhw = stage(x_BDhw)
            maps.append(x_BDhw)
        return maps

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights of torchvision or timm; the classifier and counters are left out."""
        stem = {"conv1": "stem.0", "bn1": "stem.1"}
        if self.deep_stem:
            stem = {f"conv1.{i}": f"stem.{i}" for i in (0, 1, 3, 4, 6)} | {"bn1": "stem.7"}
        found = {}
        for name, value in tensors.items():
            owner, _, leaf = name.rpartition(".")
            if owner == "fc" or (leaf == "num_batches_tracked" and self.frozen_norms):
                continue
            if owner.startswith("layer"):
                number, _, rest = owner.removeprefix("layer").partition(".")
                owner = f"stages.{int(number) - 1}.{rest}" if number.isdigit() else owner
            found[f"{stem.get(owner, owner)}.{leaf}"] = value
        return found


def _stem(deep: bool, kind: _Kind) -> nn.Sequential:
    """Part before the first stage, with a stride of 4."""
    sizes: tuple[tuple[int, int, int, int], ...] = ((3, 64, 7, 2),)
    if deep:
        sizes = ((3, 64, 3, 2), (64, 64, 3, 1), (64, 128, 3, 1))
    parts: list[nn.Module] = []
    for before, dim, kernel, stride in sizes:
        conv = nn.Conv2d(before, dim, kernel, stride, kernel // 2, bias=False)
        parts += [conv, kind.norm(dim), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts, nn.MaxPool2d(3, 2, 1, ceil_mode=kind.stride_first))

"""Same-size convolutions whose kernels are chosen for the machine."""

from __future__ import annotations

from torch import Tensor, nn

from ovss.kernels.convolution import convolve, convolve_to_one
from ovss.kernels.derived import Derived

__all__ = ["ConvToOne", "WideConv2d"]


class WideConv2d(nn.Conv2d):
    """`nn.Conv2d` with stride 1 that keeps the size of its maps, with the fastest kernel.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        side: height and width of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, side: int) -> None:
        super().__init__(in_channels, out_channels, side, padding=side // 2)
        self._spectra = Derived()

    def forward(self, input: Tensor) -> Tensor:
        return convolve(input, self.weight, self.bias, self._spectra)


class ConvToOne(nn.Conv2d):
    """`nn.Conv2d` of 3 x 3 to one channel that keeps the size of its maps.

    Args:
        in_channels: number of input channels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 1, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        return convolve_to_one(input, self.weight, self.bias)

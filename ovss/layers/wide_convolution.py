"""Same-size convolution whose kernel is chosen for the machine."""

from __future__ import annotations

from torch import Tensor, nn

from ovss.kernels.convolution import convolve
from ovss.kernels.derived import Derived

__all__ = ["WideConv2d"]


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

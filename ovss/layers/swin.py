"""Swin transformer as backbone of detection and segmentation frameworks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear, linear
from .window_attention import WindowAttention

__all__ = ["Swin"]

LEVELS = 4


class Swin(nn.Module):
    """Swin transformer that gives the outputs of its four stages (ICCV 2021).

    Maps are padded with zeros to whole windows, and cells attend to the padding, as in the authors'
    code for detection. Each output has a norm of its own. Parameters have the authors' names.

    Args:
        dim: number of channels of the first stage; each stage doubles it.
        depths: number of blocks of each stage.
        heads: number of attention heads of each stage.
        window: side of a window in cells.
        drop_path: stochastic depth rate of the last block in training; it grows linearly from 0.

    Attributes:
        dims: number of channels of each output.

    Raises:
        ValueError: numbers that do not fit together.
    """

    def __init__(
        self,
        dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        heads: Sequence[int] = (4, 8, 16, 32),
        window: int = 12,
        drop_path: float = 0.3,
    ) -> None:
        super().__init__()
        if len(depths) != LEVELS or len(heads) != LEVELS or dim % heads[0] or window < 2:
            raise ValueError(
                f"Swin expects depths and heads of {LEVELS} stages, dim of a multiple of heads and "
                f"a window of at least 2, got {list(depths)}, {list(heads)}, {dim} and {window}."
            )
        if not 0 <= drop_path < 1:
            raise ValueError(f"Swin expects drop_path in 0..1, got {drop_path}.")
        self.dims = tuple(dim * 2**level for level in range(LEVELS))
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, dim, 4, 4), "norm": nn.LayerNorm(dim)}
        )
        rates = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        self.layers = nn.ModuleList()
        for level, depth in enumerate(depths):
            first = sum(depths[:level])
            stage = _Stage(
                self.dims[level],
                heads[level],
                window,
                rates[first : first + depth],
                merges=level < LEVELS - 1,
            )
            self.layers.append(stage)
            self.register_module(f"norm{level}", nn.LayerNorm(self.dims[level]))

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Computes the maps of strides 4, 8, 16 and 32.

        Args:
            image_B3HW: normalised pixels.
        """
        x_BDhw = self.patch_embed["proj"](_padded(image_B3HW, 4))
        x_BhwD, maps = self.patch_embed["norm"](x_BDhw.permute(0, 2, 3, 1)), []
        for level, stage in enumerate(self.layers):
            x_BhwD, next_BhwD = stage(x_BhwD)
            norm = self.get_submodule(f"norm{level}")
            maps.append(norm(x_BhwD).permute(0, 3, 1, 2).contiguous())
            x_BhwD = next_BhwD
        return maps

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights of the authors or of timm.

        What classification alone needs is left out, and norms of outputs keep their first values.
        """
        is_timms = any(name.startswith(f"layers.{LEVELS - 1}.downsample.") for name in tensors)
        found = {n: p for n, p in self.state_dict().items() if n.split(".")[0] in _OUTPUT_NORMS}
        for name, value in tensors.items():
            if not name.endswith(("attn_mask", "relative_position_index")) and (
                name.split(".")[0] not in ("norm", "head")
            ):
                found[_before(name) if is_timms else name] = value
        return found


def _before(name: str) -> str:
    """Name in which the joining of cells ends a stage; in timm it starts the next one."""
    _, level, *rest = name.split(".")
    return f"layers.{int(level) - 1}.{'.'.join(rest)}" if ".downsample." in name else name


_OUTPUT_NORMS = tuple(f"norm{level}" for level in range(LEVELS))


class _Stage(nn.Module):
    """Blocks of one stage, whose windows are shifted in every second block."""

    def __init__(
        self, dim: int, heads: int, window: int, rates: Sequence[float], merges: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(dim, heads, window, window // 2 * (i % 2), rate) for i, rate in enumerate(rates)
        )
        self.downsample = _Merge(dim) if merges else None

    def forward(self, x_BhwD: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the stage, and the input of the next one."""
        for block in self.blocks:
            x_BhwD = block(x_BhwD)
        return x_BhwD, x_BhwD if self.downsample is None else self.downsample(x_BhwD)


class _Merge(nn.Module):
    """Joins each 2 x 2 cells to one of twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)
        nn.init.trunc_normal_(self.reduction.weight, std=0.02)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """Halves the grid; an odd side is padded with zeros."""
        x_BhwD = F.pad(x_BhwD, (0, 0, 0, x_BhwD.shape[2] % 2, 0, x_BhwD.shape[1] % 2))
        parts = [x_BhwD[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, dim=3)))


class _Block(nn.Module):
    """Attention inside windows and an MLP, each after a norm."""

    def __init__(self, dim: int, heads: int, window: int, shift: int, rate: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window, shift)
        self.mlp = _MLP(dim)
        self.rate = rate

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """Computes the block."""
        x_BhwD = x_BhwD + self._drop(self.attn(self.norm1(x_BhwD)))
        return x_BhwD + self._drop(self.mlp(self.norm2(x_BhwD)))

    def _drop(self, x_BhwD: Tensor) -> Tensor:
        """Stochastic depth: drops the branch for some images."""
        if not self.training or not self.rate:
            return x_BhwD
        keep = 1 - self.rate
        kept_B111 = torch.rand(x_BhwD.shape[0], 1, 1, 1, device=x_BhwD.device) < keep
        return x_BhwD * (kept_B111.to(x_BhwD) / keep)


class _MLP(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = Linear(dim, 4 * dim), Linear(4 * dim, dim)
        for part in (self.fc1, self.fc2):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """Computes the maps."""
        return self.fc2(linear(x_BhwD, self.fc1.weight, self.fc1.bias, "gelu"))


def _padded(image_B3HW: Tensor, cell: int) -> Tensor:
    """Image padded with zeros to whole cells."""
    return F.pad(image_B3HW, (0, -image_B3HW.shape[3] % cell, 0, -image_B3HW.shape[2] % cell))

"""Number of rows computed at once: few on a CPU, whose cache is small, many on other devices.

On a CPU, a chunk should fit the cache, so that each operator finds its input there. On a GPU every
call costs the host some microseconds, and small calls leave most of the device idle. There a chunk
is bounded by memory only.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["DEVICE_NUMBERS", "rows_at_once"]

DEVICE_NUMBERS = 1 << 28
"""Numbers in the largest intermediate result of a chunk on a device, 1 GiB in single precision."""


def rows_at_once(on_cpu: int, like: Tensor, row: int) -> int:
    """Number of rows to compute at once.

    Args:
        on_cpu: number for a CPU, as tuned; the least number elsewhere.
        like: tensor on the device that computes. A meta tensor counts as one of a CPU.
        row: numbers in the largest intermediate result of a row.

    >>> import torch
    >>> rows_at_once(8, torch.zeros(1), 1000)
    8
    """
    if like.device.type in ("cpu", "meta"):
        return on_cpu
    return max(on_cpu, DEVICE_NUMBERS // max(row, 1))

"""Number of rows computed at once: few on a CPU, whose cache is small, many on other devices.

On a CPU, a chunk should fit the cache, so that each operator finds its input there. On a GPU every
call costs the host some microseconds, and small calls leave most of the device idle. There a chunk
is bounded by memory only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ovss.kernels.portions import Portions, equal_slices
from ovss.selection import Selection

__all__ = ["DEVICE_NUMBERS", "PairGroup", "image_groups", "pair_groups", "rows_at_once"]

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


@dataclass(frozen=True)
class PairGroup:
    """Some (image, category) pairs that are computed at once.

    Args:
        rows: their rows among the N packed pairs.
        images: index of what belongs to their images in a tensor (B, ...). The result has one row
            for all pairs if they share an image, and one row for each pair otherwise.
    """

    rows: slice
    images: slice | Tensor


def pair_groups(
    selection: Selection, on_cpu: int, like: Tensor, row: int, portions: Portions
) -> Iterator[PairGroup]:
    """Divides the valid pairs of a batch into groups that are computed at once.

    On a CPU, and for a single image, the pairs of a group share an image, so that what belongs to
    the image is broadcast and never copied. On other devices the pairs of all images are one batch,
    because small batches leave the device idle. With gradients a group has all its pairs, because
    autograd keeps the activations of all groups.

    Args:
        selection: selection whose valid pairs are computed.
        on_cpu, like, row: see `rows_at_once`.
        portions: sizes of groups that were measured on this CPU, around `on_cpu`.
    """
    at_once = rows_at_once(on_cpu, like, row)
    total = sum(selection.counts)
    if like.device.type not in ("cpu", "meta") and selection.batch > 1:
        at_once = max(total, 1) if torch.is_grad_enabled() else at_once
        for rows in equal_slices(0, total, at_once):
            yield PairGroup(rows, selection.image_N[rows])
        return
    first = 0
    for image, count in enumerate(selection.counts):
        own = slice(image, image + 1)
        if torch.is_grad_enabled() or like.device.type != "cpu":
            step = count if torch.is_grad_enabled() else at_once
            parts: Iterable[slice] = equal_slices(0, count, step) if count else ()
        else:
            parts = portions(count, at_once, (row,))
        for part in parts:
            yield PairGroup(slice(first + part.start, first + part.stop), own)
        first += count


def image_groups(selection: Selection, like: Tensor, row: int) -> Iterator[slice]:
    """Divides a batch into groups of images whose pairs are held and computed together.

    On a CPU each image is a group of its own. On other devices a group has as many images as fit.

    Args:
        selection: selection of the batch.
        like: tensor on the device that computes.
        row: numbers that are held for a pair.
    """
    at_once = rows_at_once(1, like, row * max(selection.counts, default=1))
    yield from equal_slices(0, selection.batch, at_once)

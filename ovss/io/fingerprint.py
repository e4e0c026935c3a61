"""Has a tensor changed? A cheap checksum of every byte, and a SHA-256 only when it says so.

PyTorch's version counters do not see edits through ``.data``, as an averaged copy of the weights is
swapped in, so the bytes themselves are read.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Fingerprint", "checksum", "sha256"]

ROW = 4096  # 8-byte words per row
KEPT = 8


def checksum(tensor: Tensor) -> Tensor:
    """Two 64-bit sums of a tensor's bytes, on its device: different sums, different content.

    Words of 8 bytes lie in rows; the rows' sums and the columns' sums are each weighted by fixed
    odd-looking multipliers, all modulo 2^64. Reads memory once or twice at about its full speed.
    """
    flat = tensor.detach().contiguous().flatten()
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()
    flat = flat.view(torch.uint8)
    whole = len(flat) // 8 * 8
    words, rest = flat[:whole].view(torch.int64), flat[whole:].to(torch.int64)
    cut = len(words) // ROW * ROW
    rows, tail = words[:cut].view(-1, ROW), torch.cat([words[cut:], rest])
    by_row, by_column = torch.cat([rows.sum(1), tail]), torch.cat([rows.sum(0), tail])
    return torch.stack([(_weights(part) * part).sum() for part in (by_row, by_column)])


def _weights(like: Tensor) -> Tensor:
    place = torch.arange(1, len(like) + 1, dtype=torch.int64, device=like.device)
    mixed = place * 0x1E3779B97F4A7C15
    return (mixed ^ (mixed >> 29)) * 0x3F58476D1CE4E5B9 | 1


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Fingerprint:
    """SHA-256 of a set of tensors, recomputed only when a checksum of their bytes has changed.

    Remembers the last few states, so that swapping averaged weights in and out costs nothing.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def __call__(self, tensors: Mapping[str, Tensor]) -> str:
        kinds = [(name, tensors[name].dtype, tensors[name].shape) for name in sorted(tensors)]
        sums = torch.stack([checksum(tensors[name]) for name in sorted(tensors)])
        state = (*kinds, *sums.flatten().tolist())
        if state not in self._known:
            self._known[state] = sha256(tensors)
        self._known.move_to_end(state)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[state]

"""Detection of changed tensors: a fast checksum of every byte, and a SHA-256 when it differs.

PyTorch's version counters miss edits through ``.data``, which is how averaged weights are swapped
in. The bytes themselves are read instead.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Fingerprint", "checksum", "sha256"]

ROW = 4096  # 8-byte words per row
MAX_STATES = 8


def checksum(tensor: Tensor) -> Tensor:
    """Checksum of a tensor's bytes: two 64-bit sums, computed on the tensor's device.

    Different sums mean different content. The bytes are arranged as a matrix of 8-byte words. Its
    row sums and its column sums are each multiplied by fixed pseudo-random weights and added up,
    all modulo 2^64. Memory is read once or twice at close to full bandwidth.
    """
    flat = tensor.detach().contiguous().flatten()
    # viewing bytes as int64 needs an offset that is a multiple of 8
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
    """Pseudo-random odd multipliers: a hash of each position, one per element of `like`."""
    position = torch.arange(1, len(like) + 1, dtype=torch.int64, device=like.device)
    mixed = position * 0x1E3779B97F4A7C15
    return (mixed ^ (mixed >> 29)) * 0x3F58476D1CE4E5B9 | 1


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, dtypes, shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Fingerprint:
    """SHA-256 of a set of tensors, recomputed only when the checksum of their bytes changes.

    The hashes of the last `MAX_STATES` states are kept, so swapping averaged weights in and out
    does not hash again.
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
        while len(self._known) > MAX_STATES:
            self._known.popitem(last=False)
        return self._known[state]

"""Detection of changed tensors: an address, a version and samples; all bytes only after a change.

PyTorch counts the in-place changes of a tensor, which costs nothing to read. Its counters miss
edits through ``.data``, which is how averaged weights are swapped in. A few values of each tensor
are compared as well, because such a swap changes all of them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

__all__ = ["Fingerprint", "checksum", "sha256"]

ROW = 4096  # 8-byte words per row
MAX_STATES = 8
SAMPLES = 4
"""Values that are compared of each tensor, the last one among them."""


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

    The checksum is computed when a tensor was replaced, changed in place, or holds other values at
    a few places. The hashes of the last `MAX_STATES` states are kept, so swapping averaged weights
    in and out does not hash again.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._last: tuple[tuple[object, ...], Tensor | None, str] | None = None

    def __call__(self, tensors: Mapping[str, Tensor]) -> str:
        """
        Args:
            tensors: tensors by name.
        """
        state, sampled = _quick_state(tensors), _sampled(tensors)
        if state is not None and self._last is not None and self._last[0] == state:
            _, before, found = self._last
            if sampled is None or (before is not None and torch.equal(before, sampled)):
                return found
        found = self._full(tensors)
        self._last = None if state is None else (state, sampled, found)
        return found

    def _full(self, tensors: Mapping[str, Tensor]) -> str:
        """SHA-256, looked up by the checksums of all bytes."""
        kinds = [(name, tensors[name].dtype, tensors[name].shape) for name in sorted(tensors)]
        sums = torch.stack([checksum(tensors[name]) for name in sorted(tensors)])
        state = (*kinds, *sums.flatten().tolist())
        if state not in self._known:
            self._known[state] = sha256(tensors)
        self._known.move_to_end(state)
        while len(self._known) > MAX_STATES:
            self._known.popitem(last=False)
        return self._known[state]


def _quick_state(tensors: Mapping[str, Tensor]) -> tuple[object, ...] | None:
    """Address and version of each tensor; None if one of them has no version."""
    if any(tensor.is_inference() for tensor in tensors.values()):
        return None
    return tuple(
        (name, tensor.data_ptr(), tensor._version, tensor.dtype, tensor.shape, tensor.stride())
        for name, tensor in tensors.items()
    )


def _sampled(tensors: Mapping[str, Tensor]) -> Tensor | None:
    """Some values of each tensor; None for weights on a GPU that do not train.

    Comparing them waits for the device. On a GPU this is worth it only for weights that train,
    since only their averages are swapped in.
    """
    first = next(iter(tensors.values()))
    if first.device.type != "cpu" and not any(t.requires_grad for t in tensors.values()):
        return None
    with torch.no_grad():
        return torch.cat([_some_values(tensor) for tensor in tensors.values() if tensor.numel()])


def _some_values(tensor: Tensor) -> Tensor:
    """View of up to `SAMPLES` values at equal distances in memory."""
    places = _places(tensor.shape, tensor.stride())
    return tensor.as_strided((len(places),), (places.step,), tensor.storage_offset() + places.start)


@cache
def _places(shape: torch.Size, strides: tuple[int, ...]) -> range:
    extent = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    step = max(1, extent // max(1, SAMPLES - 1))
    # counted from the end, so that the last value is among them
    return range(extent, -1, -step)[:SAMPLES][::-1]

"""Large table of float32 rows that are read on demand, usually from files mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["StoredRows"]


class StoredRows:
    """Table (T, P, C) whose rows lie in several tensors, in any order.

    Memory of the process holds the mean of each row, and the rows only while they are read.

    Args:
        parts: tensors (N, P, C) with the rows.
        means: their means (N, C) over P.
        place_T2: part and place of each row, int64 on the CPU.
        device: device to which rows are copied.
    """

    def __init__(
        self,
        parts: Sequence[Tensor],
        means: Sequence[Tensor],
        place_T2: Tensor,
        device: torch.device,
    ) -> None:
        self.parts, self.means, self.place_T2 = tuple(parts), tuple(means), place_T2
        self.device = device

    def __len__(self) -> int:
        return len(self.place_T2)

    @property
    def shape(self) -> torch.Size:
        """Shape of the table, (T, P, C)."""
        return torch.Size((len(self), *self.parts[0].shape[1:]))

    @property
    def requires_grad(self) -> bool:
        """False, because stored rows are constants."""
        return False

    @cached_property
    def mean_TC(self) -> Tensor:
        """Mean of each row over P."""
        with torch.inference_mode(mode=False), torch.no_grad():
            starts = torch.tensor([0, *map(len, self.means)], device="cpu").cumsum(0)
            table_NC = torch.cat([mean_NC.cpu() for mean_NC in self.means])
            return table_NC[starts[self.place_T2[:, 0]] + self.place_T2[:, 1]].to(self.device)

    def rows(self, index: Tensor) -> Tensor:
        """Reads rows: (..., P, C) for an index of any shape.

        The index goes to the CPU once, and a row that occurs several times is read once.
        """
        unique_N, inverse = index.detach().cpu().flatten().unique(return_inverse=True)
        rows_NPC = self._read(unique_N).to(self.device)
        if len(unique_N) < len(inverse) or not torch.equal(unique_N[inverse], unique_N):
            rows_NPC = rows_NPC[inverse.to(self.device)]
        return rows_NPC.unflatten(0, index.shape)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yields consecutive rows, at most `size` at a time."""
        for start in range(0, len(self), size):
            every_N = torch.arange(start, min(start + size, len(self)), device="cpu")
            yield self._read(every_N).to(self.device)

    def _read(self, index_N: Tensor) -> Tensor:
        place_N2 = self.place_T2[index_N]
        is_gpu = self.device.type == "cuda"
        shape = (len(index_N), *self.shape[1:])
        out_NPC = torch.empty(shape, dtype=torch.float32, device="cpu", pin_memory=is_gpu)
        for number in place_N2[:, 0].unique().tolist():
            slots_M = (place_N2[:, 0] == number).nonzero()[:, 0]
            rows_MPC = self.parts[number][place_N2[slots_M, 1]]
            out_NPC[slots_M] = rows_MPC.to("cpu")
        return out_NPC

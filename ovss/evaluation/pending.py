"""Which picture goes to which process: each of what is left to exactly one."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from numpy.typing import NDArray
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class EachPictureOnce(Sampler[int]):
    """Every `ranks`-th of the pictures that are left, beginning with the `rank`-th; no repeats.

    Processes may get one picture more or less than others: none is repeated to even that out.

    Args:
        dataset: only its length is asked for.
        seed: taken since mmengine gives one; nothing is drawn.
        rank, ranks: this process and how many there are; None: as torch.distributed has it.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = None,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        own, all_ranks = get_dist_info()
        self.rank = own if rank is None else rank
        self.ranks = all_ranks if ranks is None else ranks
        self.pictures = len(dataset)
        self.mine: NDArray[np.int64]
        self.give(np.ones(self.pictures, bool))

    def give(self, left_N: NDArray[np.bool_]) -> None:
        """Share out the pictures that are marked."""
        if len(left_N) != self.pictures:
            raise ValueError(f"marks of {len(left_N)} pictures for a set of {self.pictures}")
        self.mine = np.flatnonzero(left_N)[self.rank :: self.ranks]

    def __iter__(self) -> Iterator[int]:
        return (int(index) for index in self.mine)

    def __len__(self) -> int:
        return len(self.mine)

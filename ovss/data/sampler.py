"""An endless stream of samples that can be entered at any step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .base import SegmentationDataset


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Shuffled epochs, one after another, shared between the processes of a distributed run.

    Yields items `epoch * len(dataset) + index`, so that the data set draws a new augmentation in
    every epoch; epoch e is shuffled by (seed, e). Nothing depends on what was drawn before, so
    `skip` costs nothing.

    Args:
        dataset: a `SegmentationDataset`; its augmentation takes the sampler's seed.
        seed: of the order; the same in all processes.
        shuffle: False walks in order.
    """

    def __init__(self, dataset: SegmentationDataset, seed: int, shuffle: bool = True) -> None:
        if not isinstance(dataset, SegmentationDataset):
            raise TypeError(
                f"EndlessSampler draws from a SegmentationDataset, got {type(dataset).__name__}; "
                f"use mmengine's InfiniteSampler for other data sets"
            )
        if dataset.word_class is not None:
            raise ValueError(
                f"{type(dataset).__name__} asks {len(dataset.words)} words for "
                f"{len(dataset.names)} classes, so its labels say nothing of single words: train "
                f"without `words`"
            )
        dataset.seed = seed
        self.length, self.seed, self.shuffle = len(dataset), seed, shuffle
        self.rank, self.world_size = get_dist_info()
        self.start = 0

    def skip(self, num_samples: int) -> None:
        """Start after the first `num_samples` of this process: mmengine's loop calls it on
        resuming."""
        self.start = num_samples

    def __iter__(self) -> Iterator[int]:
        position = self.start * self.world_size + self.rank
        drawn, order = -1, list(range(self.length))
        while True:
            epoch, step = divmod(position, self.length)
            if self.shuffle and epoch != drawn:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order, drawn = torch.randperm(self.length, generator=generator).tolist(), epoch
            yield epoch * self.length + order[step]
            position += self.world_size

    def __len__(self) -> int:
        return self.length

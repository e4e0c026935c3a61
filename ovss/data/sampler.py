"""Endless sampler for training, which can start at any step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .base import SegmentationDataset


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Endless sequence of shuffled epochs, divided among the ranks of a distributed run.

    Yields items `epoch * len(dataset) + index`, so that the dataset draws a new augmentation in
    every epoch. Epoch e is shuffled by (seed, e) and does not depend on earlier epochs, so `skip`
    is free.

    Args:
        dataset: dataset to sample from; its augmentation gets the sampler's seed.
        seed: seed of the order; equal on all ranks.
        shuffle: False keeps the order of the dataset.

    Raises:
        TypeError: `dataset` is not a `SegmentationDataset`.
        ValueError: `dataset` segments other names than its classes, which is for evaluation only.
    """

    def __init__(self, dataset: SegmentationDataset, seed: int, shuffle: bool = True) -> None:
        if not isinstance(dataset, SegmentationDataset):
            raise TypeError(
                f"EndlessSampler needs a SegmentationDataset, got {type(dataset).__name__}. Use "
                f"mmengine's InfiniteSampler for other datasets"
            )
        if dataset.word_class is not None:
            raise ValueError(
                f"{type(dataset).__name__} has {len(dataset.words)} words for "
                f"{len(dataset.names)} classes, so its labels do not cover single words. Train "
                f"without `words`"
            )
        dataset.seed = seed
        self.length, self.seed, self.shuffle = len(dataset), seed, shuffle
        self.rank, self.world_size = get_dist_info()
        self.start = 0

    def skip(self, num_samples: int) -> None:
        """Skips samples of this rank; mmengine's loop calls it when it resumes.

        Args:
            num_samples: number of samples to skip.
        """
        self.start = num_samples

    def __iter__(self) -> Iterator[int]:
        position = self.start * self.world_size + self.rank
        shuffled, order = -1, list(range(self.length))
        while True:
            epoch, step = divmod(position, self.length)
            if self.shuffle and epoch != shuffled:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order, shuffled = torch.randperm(self.length, generator=generator).tolist(), epoch
            yield epoch * self.length + order[step]
            position += self.world_size

    def __len__(self) -> int:
        return self.length

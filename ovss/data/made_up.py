"""Random images and labels of realistic size, for a dry run of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.registry import DATASETS

from ovss.vocabularies import load_names

from .base import LabeledImage, SegmentationDataset


@DATASETS.register_module()
class MadeUpDataset(SegmentationDataset):
    """Random images and labels, generated from a seed without files; a model learns nothing.

    Args:
        vocabulary: T class names as a list, a text file with one per line, or a registered name.
        pipeline: see `SegmentationDataset`.
        size: (height, width) of the images; most images of COCO have 480 x 640.
        categories: number of categories in an image; about eight in COCO-Stuff.
        length: number of images.
        seed: see `SegmentationDataset`.
    """

    def __init__(
        self,
        vocabulary: str | Sequence[str],
        pipeline: Sequence[dict | Callable],
        size: tuple[int, int] = (480, 640),
        categories: int = 8,
        length: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(load_names(vocabulary), None, pipeline, seed)
        self.size, self.categories, self.length = size, categories, length

    def __len__(self) -> int:
        return self.length

    def load(self, index: int) -> LabeledImage:
        draw = np.random.default_rng((self.seed, index))
        height, width = self.size
        image = draw.integers(0, 256, (height, width, 3), np.uint8)
        count = min(self.categories, len(self.names))
        present = draw.choice(len(self.names), count, replace=False)
        tiles = draw.choice(present, (8, 8))
        rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
        return LabeledImage(image, tiles[rows[:, None], columns], f"made_up/{index:06d}")

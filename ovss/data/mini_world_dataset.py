"""The mini world as a dataset for training and validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.registry import DATASETS

from ovss.mini_world import MiniWorld, names, seen_names

from .base import LabeledImage, SegmentationDataset
from .labels import LabelMapper
from .part import limited


@DATASETS.register_module()
class MiniWorldDataset(SegmentationDataset):
    """Scenes of the mini world with their label maps.

    Args:
        split: ``train`` (seen categories only) or ``val`` (all categories). Labels of ``train``
            index the seen names because a model would learn that a category without pixels never
            occurs.
        vocabulary: ``mini_20``, ``mini_150`` or ``mini_556``.
        size: height and width of the scenes, in pixels.
        length: number of scenes.
        pipeline: see `SegmentationDataset`.
        scenes_seed: seed of the scenes.
        seed: see `SegmentationDataset`.
        limit: largest number of scenes, spread evenly over all; None: all.
        objects: smallest and largest number of objects in a scene; None: 1 to 4, or 1 to 2 below
            96 pixels.
        name: name of the dataset in results and of its scenes; None: that of the vocabulary.
    """

    def __init__(
        self,
        split: str,
        vocabulary: str,
        size: int,
        length: int,
        pipeline: Sequence[dict | Callable],
        scenes_seed: int = 0,
        seed: int = 0,
        limit: int | None = None,
        objects: tuple[int, int] | None = None,
        name: str | None = None,
    ) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"`split` must be 'train' or 'val', got {split!r}")
        self.world = MiniWorld(
            split, vocabulary, size=size, seed=scenes_seed, length=length, objects=objects
        )
        every, seen = names(vocabulary), seen_names(vocabulary)
        kept = seen if split == "train" else every
        super().__init__(kept, seen, pipeline, seed)
        index = {name: i for i, name in enumerate(kept)}
        mapping = {raw: index[name] for raw, name in enumerate(every) if name in index}
        self.label_mapper = LabelMapper(len(kept), mapping)
        self.scenes, self.part = limited(range(length), limit)
        self.prefix = f"mini_world/{name or vocabulary}-{split}-{scenes_seed}"

    def __len__(self) -> int:
        return len(self.scenes)

    def load(self, index: int) -> LabeledImage:
        number = self.scenes[index]
        scene, path = self.world[number], f"{self.prefix}-{number:06d}"
        return LabeledImage(scene.image, self.label_mapper(np.asarray(scene.mask), path), path)

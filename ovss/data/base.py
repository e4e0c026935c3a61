"""Base class of the datasets: vocabulary, labels, pipeline and reproducible augmentation."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ovss.drawing.colors import palette

from .workers import located_in_worker


class LabeledImage(NamedTuple):
    """Labelled image: RGB uint8 (H, W, 3), label map (H, W) or None, and path for messages."""

    image: NDArray[np.uint8]
    labels: NDArray[np.integer] | None
    path: str


class SegmentationDataset(Dataset, ABC):
    """Labelled images over a vocabulary, passed through a pipeline of transforms.

    Item `epoch * len(self) + index` is image `index` with the augmentation of that epoch. An item
    depends on (seed, item) only, not on the worker or on the order of access, so a resumed
    training sees the same data as an uninterrupted one.

    Args:
        names: T class names that labels index.
        seen: subset of `names` that training may show; None marks all as seen.
        pipeline: transforms of mmcv and mmseg, or their configs. They start from `img` (RGB),
            `gt_seg_map` (int, IGNORE where not labelled), `img_path`, `ori_shape`, `vocabulary`.
        seed: seed of the augmentation.
        words: W names to segment and the class index of each, as returned by `words_of_classes`;
            None: `names`. Samples then have these names as `vocabulary` while labels still index
            `names`, so this is for evaluation only.
        colors: T RGB triples to draw the categories in; None: `ovss.drawing.colors.palette`.

    A class that can be limited to a part of its images takes `limit` and sets `part` to the
    description that `ovss.data.part.limited` returns.

    A class sets `names_words` if it is configured by `vocabulary`, `seen`, `only_seen` and `words`.
    Its classes and names are then known without its files, and `words` can be set.
    """

    names_words: ClassVar[bool] = False
    part: str = ""

    def __init__(
        self,
        names: Sequence[str],
        seen: Sequence[str] | None,
        pipeline: Sequence[dict | Callable],
        seed: int = 0,
        words: tuple[Sequence[str], Sequence[int]] | None = None,
        colors: Sequence[Sequence[int]] | None = None,
    ) -> None:
        from mmcv.transforms import Compose
        from mmengine.registry import DefaultScope

        from . import transform_registry

        registry = transform_registry()
        current = DefaultScope.get_current_instance()
        # A run without default_scope leaves the scope mmengine behind, which has no transforms.
        is_root = current is not None and current.scope_name == "mmengine"
        self.names = tuple(names)
        self.seen = self.names if seen is None else tuple(seen)
        self.seed = seed
        self.words = self.names if words is None else tuple(words[0])
        self.word_class = None if words is None else tuple(words[1])
        self.colors = palette(len(self.names)).tolist() if colors is None else colors
        with DefaultScope.overwrite_default_scope(registry.scope if is_root else None):
            self.pipeline = Compose([t if callable(t) else registry.build(t) for t in pipeline])

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of images."""

    @abstractmethod
    def load(self, index: int) -> LabeledImage:
        """Loads image `index` with its labels as category indices or IGNORE."""

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metadata in mmengine's format: `classes`, `palette`, `seen`, optionally words and part.

        `classes` are T names, `palette` T RGB triples, `seen` names. If the names to segment differ
        from the classes, `words` holds W names and `word_class` W indices into the classes.
        """
        meta: dict[str, Any] = {
            "classes": self.names,
            "palette": [list(color) for color in self.colors],
            "seen": self.seen,
        }
        if self.part:
            meta["part"] = self.part
        if self.word_class is not None:
            meta.update(words=self.words, word_class=self.word_class)
        return meta

    def path_of(self, index: int) -> str:
        """File of image `index` for messages; empty if images are not files."""
        return ""

    def __getitem__(self, item: int) -> Any:
        epoch, index = divmod(item, len(self))
        with located_in_worker(index, lambda: self.path_of(index)):
            return self._sample(epoch, index)

    def _sample(self, epoch: int, index: int) -> Any:
        image, labels, path = self.load(index)
        sample: dict[str, Any] = {
            "img": image,
            "img_path": path,
            "img_shape": image.shape[:2],
            "ori_shape": image.shape[:2],
            "vocabulary": self.words,
            "seg_fields": [],
        }
        if labels is not None:
            if labels.shape != image.shape[:2]:
                raise ValueError(
                    f"Image and label map must have equal (height, width), got {image.shape[:2]} "
                    f"and {labels.shape} for {path}"
                )
            sample["gt_seg_map"] = labels
            sample["seg_fields"].append("gt_seg_map")
        with numpy_seed(self.seed, epoch, index):
            return self.pipeline(sample)


@contextmanager
def numpy_seed(*address: int) -> Iterator[None]:
    """Seeds the global generators that mmcv's and mmseg's transforms use, then restores them.

    Args:
        address: integers that together form the seed.

    >>> with numpy_seed(0, 1): first = np.random.rand()
    >>> with numpy_seed(0, 1): first == np.random.rand()
    True
    """
    before, before_numpy = random.getstate(), np.random.get_state()
    state = np.random.SeedSequence(address).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)

"""What every data set here shares: words, labels, a pipeline, and randomness with an address."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ovss.io.drawing import palette


class LabeledImage(NamedTuple):
    """One labelled picture: RGB uint8 (H, W, 3), labels (H, W) or None, and what to call it."""

    image: NDArray[np.uint8]
    labels: NDArray[np.integer] | None
    path: str


class SegmentationDataset(Dataset, ABC):
    """Labelled pictures over a vocabulary, through a pipeline of transforms.

    Item `epoch * len(self) + index` is picture `index` with the augmentation of that epoch: what an
    item holds follows from (seed, item) alone, whichever worker draws it and in whatever order, so
    that a resumed training sees what an uninterrupted one would have seen.

    Args:
        names: the T category names that labels index.
        seen: those of them that training may show; None marks all as seen.
        pipeline: transforms of mmcv and mmseg, or their configs. They start from `img` (RGB),
            `gt_seg_map` (int, IGNORE where not labelled), `img_path`, `ori_shape`, `vocabulary`.
        seed: of the augmentation.
        words: the W words that a model is asked, and the class of each, as `words_of_classes` gives
            them; None: the names themselves. Samples then carry the words as their `vocabulary`,
            while labels still index the names: for evaluation only.
        colors: T RGB triples to draw the categories in; None: `ovss.visualize.palette`.

    `names_words` declares that a class is configured by `vocabulary`, `seen`, `only_seen` and
    `words`, so that its classes and words are known without its files, and `words` can be set.
    """

    names_words: ClassVar[bool] = False

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

        from . import transform_registry

        registry = transform_registry()
        self.names = tuple(names)
        self.seen = self.names if seen is None else tuple(seen)
        self.seed = seed
        self.words = self.names if words is None else tuple(words[0])
        self.word_class = None if words is None else tuple(words[1])
        self.colors = palette(len(self.names)).tolist() if colors is None else colors
        self.pipeline = Compose([t if callable(t) else registry.build(t) for t in pipeline])

    @abstractmethod
    def __len__(self) -> int:
        """How many pictures there are."""

    @abstractmethod
    def load(self, index: int) -> LabeledImage:
        """Picture `index`, its labels already converted at the border."""

    @property
    def metainfo(self) -> dict[str, Any]:
        """`classes` (T names), `palette` (T RGB triples) and `seen` (names), as mmengine asks; and
        where the words asked are not the classes, `words` (W) and `word_class` (W indices in T)."""
        meta: dict[str, Any] = {
            "classes": self.names,
            "palette": [list(color) for color in self.colors],
            "seen": self.seen,
        }
        if self.word_class is not None:
            meta.update(words=self.words, word_class=self.word_class)
        return meta

    def __getitem__(self, item: int) -> Any:
        epoch, index = divmod(item, len(self))
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
                    f"{path}: the label map has (height, width) {labels.shape}, its image "
                    f"{image.shape[:2]}; they must be the same picture at the same size"
                )
            sample["gt_seg_map"] = labels
            sample["seg_fields"].append("gt_seg_map")
        with numpy_seed(self.seed, epoch, index):
            return self.pipeline(sample)


@contextmanager
def numpy_seed(*address: int) -> Iterator[None]:
    """Fix the global generators that mmcv's and mmseg's transforms draw from, then put them back.

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

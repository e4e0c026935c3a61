"""Pictures and words in, label maps out: the main job, from Python."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL.Image import Image

from ovss.inference import best_labels
from ovss.io.images import to_rgb
from ovss.models.build import build_segmentor
from ovss.models.configs import DEFAULT_METHOD, load_config
from ovss.vocabularies.parsing import names_of

from .result import SegmentationResult

if TYPE_CHECKING:
    from ovss.structures import TextFeatures

__all__ = ["Inferencer", "SegmentationResult", "choose_device", "segment"]

ImageLike = str | os.PathLike | np.ndarray | torch.Tensor | Image
Words = str | Path | Sequence[str]
CACHED_VOCABULARIES = 8


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; ``"auto"`` is the first GPU, or else the CPU.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used here: {error}") from error
    return device


class Inferencer:
    """A model, built once, for any number of pictures and vocabularies.

    Args:
        model: a config's name (``"dcp_clip_mini"``) or path.
        weights: ``"default"``: the file that the config names; a path; or None: as initialised.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
        overrides: config keys to change, e.g. ``{"model.inference.views_per_batch": 2}``.

    Raises:
        FileNotFoundError, KeyError: no such config, weights or component, with the closest names.
        ValueError: weights of another model, or the device is not there.

    Example:
        >>> run = Inferencer("dcp_clip_mini")                       # doctest: +SKIP
        >>> run("photo.jpg", "cat, sofa|couch, grass").draw().show()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_METHOD,
        *,
        weights: str | Path | None = "default",
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = choose_device(device)
        config = load_config(model, dict(overrides or {}))
        self.name = Path(model).stem
        self.model = build_segmentor(config, weights=weights, device=self.device)
        self._texts: OrderedDict[tuple[str, ...], TextFeatures] = OrderedDict()

    def __call__(self, image: ImageLike, words: Words) -> SegmentationResult:
        """Segment one picture.

        Args:
            image: path, PIL image, array (H, W[, 1, 3 or 4]) or tensor ([1, 3 or 4,] H, W); ranges
                as in `ovss.io.images.to_rgb`.
            words: what to look for, as in `ovss.vocabularies.parsing.names_of`:
                ``"cat, dog, grass"``, a sequence of names, a `Path` of a text file, or a
                vocabulary's name.

        Raises:
            ImageError: the picture cannot be read or means no picture.
            ValueError: no words, blank ones, or the same twice.
        """
        return self.label(image, names_of(words))

    def many(self, images: Iterable[ImageLike], words: Words) -> Iterator[SegmentationResult]:
        """Segment pictures one after the other, with one vocabulary; lazy."""
        names = names_of(words)
        return (self.label(image, names) for image in images)

    def label(self, image: ImageLike, names: tuple[str, ...]) -> SegmentationResult:
        """Segment one picture with names that were checked already."""
        rgb_HW3 = to_rgb(image)
        labels_HW, scores_T = self._predict(rgb_HW3, self.encode(names))
        source = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        return SegmentationResult(labels_HW, names, scores_T, rgb_HW3, source, self.name)

    def encode(self, names: tuple[str, ...]) -> TextFeatures:
        """Text features of a vocabulary; the last few are kept."""
        if names not in self._texts:
            with torch.inference_mode():
                self._texts[names] = self.model.encode_vocabulary(names)
        self._texts.move_to_end(names)
        while len(self._texts) > CACHED_VOCABULARIES:
            self._texts.popitem(last=False)
        return self._texts[names]

    @torch.inference_mode()
    def _predict(self, rgb_HW3: np.ndarray, text: TextFeatures) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) labels, and (T,) mean probability of each category over the pixels it won."""
        image_3HW = torch.from_numpy(rgb_HW3).to(self.device).permute(2, 0, 1)
        scores = self.model.scores(image_3HW, text)
        labels_1HW, probs_1HW = best_labels(scores, rgb_HW3.shape[:2])
        labels_N, probs_N = labels_1HW.flatten(), probs_1HW.flatten().double()
        count = len(text.embeds_TPC)
        sums_T = torch.zeros(count, dtype=torch.double, device=self.device)
        sums_T.index_add_(0, labels_N, probs_N)
        means_T = sums_T / labels_N.bincount(minlength=count).clamp(min=1)
        return labels_1HW[0].cpu().numpy(), means_T.float().cpu().numpy()


def segment(
    image: ImageLike,
    words: Words,
    model: str | Path = DEFAULT_METHOD,
    **options: Any,
) -> SegmentationResult:
    """Segment one picture, in one line; `options` are those of `Inferencer`.

    Builds the model at each call: make an `Inferencer` for more than one picture.
    """
    return Inferencer(model, **options)(image, words)

"""Segmentation from Python: an image and category names in, a label map out."""

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
from ovss.models.configs import load_config
from ovss.models.defaults import DEFAULT_METHOD
from ovss.vocabularies.parsing import names_of

from .result import SegmentationResult

if TYPE_CHECKING:
    from ovss.structures import TextFeatures

__all__ = ["Inferencer", "SegmentationResult", "choose_device", "segment"]

ImageLike = str | os.PathLike | np.ndarray | torch.Tensor | Image
Words = str | Path | Sequence[str]
CACHED_VOCABULARIES = 8


def choose_device(name: str = "auto") -> torch.device:
    """Returns the device called `name`; ``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: the device does not exist or cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used on this machine: {error}") from error
    return device


class Inferencer:
    """Model that segments images; it is built once and works with any vocabulary.

    Args:
        model: name of a config (``"dcp_clip_mini"``) or path of a config file.
        weights: ``"default"`` for the file that the config names, a path, or None for random
            initialisation.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` and so on.
        overrides: config keys to change, for example ``{"model.inference.views_per_batch": 2}``.

    Raises:
        FileNotFoundError, KeyError: the config, the weights or a component does not exist. The
            message suggests the closest names.
        ValueError: the weights belong to another model, or the device cannot be used.

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
        """Segments one image.

        Args:
            image: path, PIL image, array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or tensor
                (H, W), (1, H, W), (3, H, W) or (4, H, W). See `ovss.io.images.to_rgb` for the
                value ranges.
            words: categories to look for: one string such as ``"cat, dog, grass"``, a sequence of
                names, the name of a vocabulary, or a `Path` of a text file. See
                `ovss.vocabularies.parsing.names_of`.

        Raises:
            ImageError: the image cannot be read, or the input does not describe an image.
            ValueError: the vocabulary is empty, or a name is blank or repeated.
        """
        return self.label(image, names_of(words))

    def many(self, images: Iterable[ImageLike], words: Words) -> Iterator[SegmentationResult]:
        """Segments images with one vocabulary; each is processed when you ask for its result."""
        names = names_of(words)
        return (self.label(image, names) for image in images)

    def label(self, image: ImageLike, names: tuple[str, ...]) -> SegmentationResult:
        """Segments one image with category names that `names_of` has already checked."""
        rgb_HW3 = to_rgb(image)
        labels_HW, scores_T = self._predict(rgb_HW3, self.encode(names))
        source = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        return SegmentationResult(labels_HW, names, scores_T, rgb_HW3, source, self.name)

    def encode(self, names: tuple[str, ...]) -> TextFeatures:
        """Text features of a vocabulary, cached for the last few vocabularies."""
        if names not in self._texts:
            with torch.inference_mode():
                self._texts[names] = self.model.encode_vocabulary(names)
        self._texts.move_to_end(names)
        while len(self._texts) > CACHED_VOCABULARIES:
            self._texts.popitem(last=False)
        return self._texts[names]

    @torch.inference_mode()
    def _predict(self, rgb_HW3: np.ndarray, text: TextFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Label map (H, W), and (T,) mean probability of each category over its pixels."""
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
    """Segments one image with one call.

    The model is built again in each call. For more than one image, create an `Inferencer`.

    Args:
        image: image, as in `Inferencer.__call__`.
        words: categories to look for, as in `Inferencer.__call__`.
        model: name of a config or path of a config file.
        options: other arguments of `Inferencer`.
    """
    return Inferencer(model, **options)(image, words)

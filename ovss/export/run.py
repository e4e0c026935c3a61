"""Segmentation with an exported model: numpy and ONNX Runtime, without torch.

``python -m ovss.export.run FOLDER photo.jpg`` segments images from the command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovss.api.prediction import confidence_warning, mean_scores
from ovss.api.request import Request, Words
from ovss.api.result import SegmentationResult
from ovss.api.stems import image_stem, unique_stem
from ovss.io.images import to_rgb
from ovss.io.sources import find_sources
from ovss.vocabularies.vocabulary import IGNORE, Vocabulary

from .arrays import Array, Maps, Regions, labels_at, resized
from .description import ExportDescription, ExportError
from .merge import View, canvas_of, merged_windows
from .sessions import open_session
from .text_encoder import ExportedTextEncoder
from .text_table import TEXT_TABLE, TextTable

__all__ = ["REFINE_GRAPH", "VIEW_GRAPH", "ExportedModel"]

VIEW_GRAPH = "view.onnx"
"""Graph from a view and text embeddings to maps."""

REFINE_GRAPH = "refine.onnx"
"""Graph of the post-processor."""


COVERED = 1e-9
"""As `ovss.layers.region_maps.COVERED`, which needs torch."""


class ExportedModel:
    """Exported model that segments images with any vocabulary.

    Args:
        folder: folder that `ovss export` wrote.
        threads: number of threads; 0 for all cores.
        backend: program that runs the graphs, a key of `ovss.export.sessions.BACKENDS`.
        verify: True to compare all files with their digests first.

    Attributes:
        description: what was exported.
        text: embeddings of the vocabulary that was exported with the model; None without one.

    Raises:
        ExportError: the folder holds none, is incomplete or damaged, or the backend is
            not installed.

    Examples:
        >>> run = ExportedModel("exported")                             # doctest: +SKIP
        >>> run("photo.jpg", "cat, sofa, grass").save("masks")          # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        threads: int = 0,
        backend: str = "onnxruntime",
        verify: bool = True,
    ) -> None:
        folder = Path(folder)
        self.description = ExportDescription.read(folder)
        if verify:
            self.description.check(folder)
        self._view = open_session(folder / VIEW_GRAPH, backend, threads)
        self._refine = None
        if self.description.refines:
            self._refine = open_session(folder / REFINE_GRAPH, backend, threads)
        files = self.description.files
        self.text = TextTable.load(folder / TEXT_TABLE) if TEXT_TABLE in files else None
        self._encoder = None
        if self.description.context_length:
            self._encoder = ExportedTextEncoder(folder, self.description, backend, threads)
        self._latest: tuple[Any, TextTable] | None = None
        self._inputs: tuple[TextTable, dict[str, np.ndarray]] | None = None

    def __call__(
        self,
        image: Any,
        words: Words | None = None,
        *,
        background: Words | None = None,
        threshold: float = 0.0,
        probabilities: bool = False,
    ) -> SegmentationResult:
        """Segments one image; the arguments are those of `ovss.Inferencer`.

        Args:
            image: path, URL, bytes, file object, PIL image or array.
            words: categories; None for the exported vocabulary, with its background names.
            background: names that stand for everything else.
            threshold: probability below which a pixel is unknown.
            probabilities: True to keep the maps of all categories.

        Raises:
            ExportError: categories whose embeddings are neither exported nor can be computed, or
                an image of another size than the one the model was exported for.
            ImageError, ValueError: see `ovss.Inferencer`.
        """
        text = self.encode(words, background)
        request = Request.of(list(text.categories), None, threshold, probabilities)
        rgb_HW3 = to_rgb(image)
        scores = self.scores(rgb_HW3, text)
        labels_HW, best_HW, maps_THW = _answer(scores, text, request, rgb_HW3.shape[:2])
        scores_T = mean_scores(labels_HW, best_HW, len(request.names))
        result = SegmentationResult(
            labels_HW,
            request.names,
            scores_T,
            rgb_HW3,
            os.fspath(image) if isinstance(image, str | os.PathLike) else None,
            self.description.model,
            note=self.description.note,
            probabilities=maps_THW,
            stem=image_stem(image),
        )
        activation, queries = self.description.inference.activation, len(text.names)
        warnings = (
            request.caution(activation == "softmax") if queries == 1 else "",
            confidence_warning(scores_T, result.pixels, queries, activation),
        )
        return replace(result, warnings=tuple(filter(None, warnings)))

    def many(
        self,
        images: Iterable[Any] | str | os.PathLike[str],
        words: Words | None = None,
        *,
        background: Words | None = None,
        threshold: float = 0.0,
    ) -> Iterator[SegmentationResult]:
        """Segments images of a folder, a pattern or a list, one at a time; see `__call__`."""
        items: Iterable[Any]
        if isinstance(images, str | os.PathLike):
            items = find_sources([images]).sources
        else:
            items = images
        stems: set[str] = set()
        for number, image in enumerate(items, 1):
            stem = unique_stem(image_stem(image, number), stems)
            yield replace(self(image, words, background=background, threshold=threshold), stem=stem)

    def encode(self, words: Words | None = None, background: Words | None = None) -> TextTable:
        """Embeddings of a vocabulary, which is kept for the next call.

        Raises:
            ExportError: see `__call__`.
        """
        if words is None:
            if self.text is None:
                raise ExportError("The model was exported without a vocabulary. Name categories")
            if background is None:
                return self.text
            words = list(self.text.categories)
        request = Request.of(words, background)
        if self._latest is None or self._latest[0] != request:
            self._latest = request, self._encoded(request)
        return self._latest[1]

    def _encoded(self, request: Request) -> TextTable:
        ground = len(request.background)
        if self._encoder is None:
            if self.text is None:
                raise ExportError("The folder has neither a vocabulary nor a text encoder")
            return self.text.subset(request.queries, ground)
        named = Vocabulary(
            request.queries, self.description.templates, self.description.synonyms
        ).queries()
        return TextTable(request.queries, ground, named, self._encoder(named))

    def scores(self, rgb_HW3: NDArray[np.uint8], text: TextTable) -> Maps | Regions:
        """Merged and refined scores of an image (H, W, 3), as `OpenVocabSegmentor.scores`.

        Raises:
            ExportError: see `__call__`.
            FloatingPointError: a score that is NaN or infinite.
        """
        canvas_3YX = canvas_of(rgb_HW3, self.description.inference)
        scores = self.refined(self.merged(rgb_HW3, canvas_3YX, text), canvas_3YX, text)
        values = scores.values_KYX if isinstance(scores, Maps) else scores.share_KQ
        if not np.isfinite(values).all():
            raise FloatingPointError(
                "The scores are not finite. Check the weights of the model, and export it again"
            )
        return scores

    def merged(self, rgb_HW3: NDArray[np.uint8], canvas_3YX: Array, text: TextTable) -> View:
        """Scores of all views, merged, before the post-processor.

        Args:
            rgb_HW3: the image.
            canvas_3YX: its canvas, see `canvas_of`.
            text: embeddings of the vocabulary.
        """
        inputs = self._text_inputs(text)
        if self.description.inference.is_one_view:
            return self._segment(canvas_3YX, inputs)
        return merged_windows(
            rgb_HW3, canvas_3YX, self.description.inference, lambda v: self._segment(v, inputs)
        )

    def refined(self, view: View, canvas_3YX: Array, text: TextTable) -> Maps | Regions:
        """Scores after the post-processor, from those of `merged`."""
        scores = view.scores
        if self._refine is None:
            return scores
        if isinstance(scores, Regions):
            scores = scores.maps((canvas_3YX.shape[1], canvas_3YX.shape[2]))
        names = ("dense_1Chw", "pooled_1C")
        features = dict(zip(names, view.features, strict=True)) if view.features else {}
        values_1KYX, index_1K = self._refine(
            maps_1KYX=scores.values_KYX[None],
            index_1K=scores.index_K[None],
            canvas_13YX=canvas_3YX[None],
            **features,
            **self._text_inputs(text),
        )
        return Maps(values_1KYX[0], index_1K[0])

    def _text_inputs(self, text: TextTable) -> dict[str, np.ndarray]:
        """Inputs of the graphs that depend on the vocabulary, kept for the next image."""
        if self._inputs is None or self._inputs[0] is not text:
            marks = {
                f"mark_{index}": rule.marks(text.vocabulary)
                for index, rule in enumerate(self.description.seen)
            }
            self._inputs = text, {"text_TPC": text.embeds_TPC, **marks}
        return self._inputs[1]

    def _segment(self, view_3HW: Array, inputs: dict[str, np.ndarray]) -> View:
        size, expected = view_3HW.shape[1:], self.description.view
        if size != expected:
            raise ExportError(
                f"The model was exported for views of {expected[0]} x {expected[1]} pixels (height "
                f"x width), and this image gives one of {size[0]} x {size[1]}. Resize the image, "
                f"or export the model for this size"
            )
        outputs = self._view(view_13HW=view_3HW[None], **inputs)
        layout = self.description.regions
        if layout is None:
            values_1KHW, index_1K, *features = outputs
            return View(Maps(values_1KHW[0], index_1K[0]), tuple(features))
        share_1KQ, mask_1Qhw, index_1K, *features = outputs
        return View(Regions(share_1KQ[0], mask_1Qhw[0], index_1K[0], layout), tuple(features))


def _answer(
    scores: Maps | Regions, text: TextTable, request: Request, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]:
    """Label map, score of each pixel, and maps of all categories if they are asked for."""
    count = len(request.names)
    query_HW, best_HW = labels_at(scores, size)
    labels_HW = text.owner_T[query_HW]
    unknown_HW = (labels_HW >= count) | (best_HW < request.threshold)
    if isinstance(scores, Regions):
        unknown_HW |= best_HW < COVERED
    labels_HW = np.where(unknown_HW, IGNORE, labels_HW)
    if not request.probabilities:
        return labels_HW, best_HW, None
    maps = scores.maps(size) if isinstance(scores, Regions) else scores
    maps_THW = np.zeros((count, *size), np.float32)
    for values_HW, query in zip(maps.values_KYX, maps.index_K, strict=True):
        if (category := text.owner_T[query]) < count:
            target_HW = maps_THW[category]
            np.maximum(target_HW, resized(values_HW[None], size)[0], out=target_HW)
    return labels_HW, best_HW, maps_THW


if __name__ == "__main__":
    from .command import main

    raise SystemExit(main())

"""Segmentation from Python: an image and category names in, a label map out."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import torch
from PIL.Image import Image

from ovss.hub.download import DownloadOptions, model_folder
from ovss.hub.loading import is_model_folder
from ovss.hub.records import ModelDescription, ModelFacts, SavedModelError
from ovss.hub.saving import save_model
from ovss.io.arguments import typed_arguments
from ovss.io.hashing import content_hash
from ovss.io.sources import find_sources, names_several
from ovss.io.tiles import LazyImage
from ovss.layers.precision import check_precision, computing_in
from ovss.models.compilation import check_compiler, compile_modules
from ovss.proposers.current import CurrentImage, current_images
from ovss.structures import TextFeatures

from .facts import known_facts
from .method import choose_device, load_method
from .pieces import SHARE_OF_OVERLAP, largest_piece
from .pixels import segment_pixels
from .prediction import confidence_warning, mean_scores
from .request import Request, Words
from .result import SegmentationResult
from .stems import image_stem, unique_stem
from .tiles import segment_tiles

__all__ = ["Inferencer", "SegmentationResult", "segment"]

ImageLike = str | os.PathLike | bytes | IO[bytes] | np.ndarray | torch.Tensor | Image
"""Anything that `ovss.io.images.to_rgb` accepts; a string is a path or an http(s) address."""
CACHED_VOCABULARIES = 8


def no_report(text: str) -> None:
    """Callback that ignores its text."""


class Inferencer:
    """Model that segments images; it is built once and works with any vocabulary.

    Args:
        model: name of a config (``"dcp_clip_mini"``), path of a config file, folder of a saved
            model, or ``"hf-hub:organisation/name"`` for one of the Hugging Face hub. None for
            ``naclip_vit-b16``, which needs CLIP weights: cached, downloadable, or `pretrained`.
        weights: ``"default"`` for the file that the config names, a path, or None for random
            initialisation.
        pretrained: weights of the encoder, a file or an open_clip tag; None: those of the config.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` and so on.
        synonyms: rule for names such as ``"sofa, couch"``, a key of
            `ovss.structures.SYNONYM_RULES`. None takes the method's rule, except that ``"first"``,
            which drops synonyms, becomes ``"average"``.
        overrides: config keys to change, for example ``{"model.inference.views_per_batch": 2}``.
        precision: number type in which images are segmented, a key of
            `ovss.layers.precision.PRECISIONS`. Texts are encoded and views are merged in float32.
        compiled: True to compile repeated blocks with `torch.compile`, which is for GPUs. The first
            image, and the first of another size, then take about half a minute more. Results differ
            by rounding.
        allow_code: True to import modules that a saved model names or holds and that belong to none
            of the installed plugins.

    Attributes:
        note: caveat on the weights, such as random ones; empty if there is none.
        compiled: names of the compiled modules.

    Raises:
        FileNotFoundError, KeyError: the config, the weights or a component does not exist. The
            message suggests the closest names.
        WeightsUnavailableError: CLIP weights can be neither found nor downloaded.
        ValueError: the weights belong to another model, or the device or the precision cannot be
            used.
        RuntimeError: `compiled` without a compiler.

    Examples:
        >>> run = Inferencer("naclip_vit-b16")                      # doctest: +SKIP
        >>> run("photo.jpg", "cat, sofa|couch, grass").show()       # doctest: +SKIP
    """

    @typed_arguments
    def __init__(
        self,
        model: str | Path | None = None,
        *,
        weights: str | Path | None = "default",
        pretrained: str | Path | None = None,
        device: str = "auto",
        synonyms: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        precision: str = "float32",
        compiled: bool = False,
        allow_code: bool = False,
    ) -> None:
        self.device = choose_device(device)
        self.precision = check_precision(precision, self.device)
        if compiled:
            check_compiler(self.device)
        method = load_method(
            model, weights, pretrained, synonyms, self.device, dict(overrides or {}), allow_code
        )
        self.name, self.model, self.note = method.name, method.model, method.note
        self._method = method
        self.compiled = tuple(compile_modules(self.model, {} if compiled else None))
        self._texts: OrderedDict[tuple[str, ...], TextFeatures] = OrderedDict()

    @classmethod
    @typed_arguments
    def from_pretrained(
        cls,
        folder_or_repository: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        allow_code: bool = False,
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
        precision: str = "float32",
        compiled: bool = False,
    ) -> Inferencer:
        """Loads a saved model from a folder, or from the Hugging Face hub by way of its cache.

        No code of the folder is executed.

        Args:
            folder_or_repository: folder that `save_pretrained` or `ovss save` wrote, or a
                repository ``organisation/name``. A folder has precedence.
            revision: branch, tag or commit of the repository; None: the main branch.
            token: access token, True for the stored one, False for none, None for the stored one
                if there is one.
            cache_dir: folder of the cache; None: that of `huggingface_hub` (``HF_HOME``).
            local_files_only: True to read the cache only, as with ``HF_HUB_OFFLINE=1``.
            allow_code: see `Inferencer`. Read the code first.
            device: see `Inferencer`.
            overrides: see `Inferencer`.
            precision: see `Inferencer`.
            compiled: see `Inferencer`.

        Raises:
            SavedModelError: the folder holds no model or a damaged one, needs a plugin that is not
                installed, or can be neither found nor downloaded.
            UntrustedConfigError: the config names something that could run code.
        """
        options = DownloadOptions(revision, token, cache_dir, local_files_only)
        folder = model_folder(folder_or_repository, options, with_code=allow_code)
        if not is_model_folder(folder):
            raise SavedModelError(
                f"{folder} holds no model, because it has no config.json. Give a folder that "
                f"`ovss save` or Inferencer.save_pretrained wrote"
            )
        return cls(
            folder.absolute(),
            device=device,
            overrides=overrides,
            precision=precision,
            compiled=compiled,
            allow_code=allow_code,
        )

    @typed_arguments
    def save_pretrained(
        self,
        folder: str | Path,
        *,
        facts: ModelFacts | None = None,
        half: bool = False,
        overwrite: bool = False,
    ) -> ModelDescription:
        """Saves the model as a folder that `from_pretrained` loads, with a model card.

        The folder holds the whole model, so that loading it needs no pre-trained file.

        Args:
            folder: folder to create.
            facts: licence, training data, results and more for the card; None: `facts`.
            half: True to write floating-point weights as float16, half of the size. Results may
                change by rounding.
            overwrite: True to replace a folder that holds a model.

        Returns:
            Content of ``config.json``.

        Raises:
            FileExistsError: the folder exists and may not be replaced.
            SavedModelError: the model cannot be rebuilt from its config.
            OSError: the folder cannot be written.
        """
        return save_model(
            folder,
            self.model,
            self._method.config,
            name=self.name,
            note=self.note,
            facts=self.facts() if facts is None else facts,
            half=half,
            overwrite=overwrite,
        )

    def facts(self) -> ModelFacts:
        """Known facts for the model card: those of the saved model, or those of the config.

        Change them with `dataclasses.replace` before you pass them to `save_pretrained`.
        """
        return known_facts(self._method)

    def config_hash(self) -> str:
        """SHA-256 of the config that the model was built from.

        The place of a saved model has no influence, nor do the weights.
        """
        return content_hash(self._method.identity)

    def __repr__(self) -> str:
        """Summary in one line: method, device, size, and the caveat on its weights."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        note = f"; {self.note}" if self.note else ""
        return f"<Inferencer {self.name} on {self.device}: {count / 1e6:.1f} M parameters{note}>"

    @overload
    def __call__(
        self,
        image: list | tuple,
        words: Words,
        *,
        background: Words | None = ...,
        threshold: float = ...,
        probabilities: bool = ...,
    ) -> list[SegmentationResult]: ...

    @overload  # a folder or a pattern gives a list as well, which its type cannot tell
    def __call__(
        self,
        image: ImageLike,
        words: Words,
        *,
        background: Words | None = ...,
        threshold: float = ...,
        probabilities: bool = ...,
    ) -> SegmentationResult: ...

    @typed_arguments
    def __call__(
        self,
        image: ImageLike | list | tuple,
        words: Words,
        *,
        background: Words | None = None,
        threshold: float = 0.0,
        probabilities: bool = False,
    ) -> Any:
        """Segments one image, or all images of a folder, a glob pattern or a list.

        Args:
            image: path, URL, bytes, file object, PIL image, array (H, W), (H, W, 1), (H, W, 3) or
                (H, W, 4), or tensor (H, W), (1, H, W), (3, H, W) or (4, H, W). See
                `ovss.io.images.to_rgb` for the value ranges. Or several images, as in `many`.
            words: categories to look for: one string such as ``"cat, dog, grass"``, a sequence of
                names, the name of a vocabulary, or a `Path` of a text file. See
                `ovss.vocabularies.parsing.names_of`.
            background: names that stand for everything else; pixels that they win are unknown.
            threshold: probability in 0..1 below which a pixel is unknown.
            probabilities: True to keep the probability maps of all categories.

        Returns:
            `SegmentationResult`, or a list of them for several images.

        Raises:
            ImageError: the image cannot be read, or the input does not describe an image.
            ValueError: the vocabulary is empty, a name is blank or repeated, or a threshold is
                outside 0..1.
        """
        return self.answer(image, Request.of(words, background, threshold, probabilities))

    @typed_arguments
    def many(
        self,
        images: Iterable[ImageLike] | str | Path,
        words: Words,
        *,
        background: Words | None = None,
        threshold: float = 0.0,
        probabilities: bool = False,
    ) -> Iterator[SegmentationResult]:
        """Segments images with one vocabulary; each is processed when you ask for its result.

        Args:
            images: folder, glob pattern, or images in any form of `__call__`.
            words: categories to look for.
            background: see `__call__`.
            threshold: see `__call__`.
            probabilities: see `__call__`.

        Returns:
            Results whose `stem` differs from that of every other, so that saving them into one
            folder overwrites none.
        """
        return self._each(images, Request.of(words, background, threshold, probabilities))

    def answer(self, image: ImageLike | list | tuple, request: Request) -> Any:
        """Segments one or several images with a checked request, see `__call__`."""
        if isinstance(image, list | tuple) or names_several(image):
            return list(self._each(image, request))
        return self.label(image, request)

    def _each(self, images: Any, request: Request) -> Iterator[SegmentationResult]:
        several = isinstance(images, str | os.PathLike)
        items = find_sources([images]).sources if several else images
        stems: set[str] = set()
        for number, image in enumerate(items, 1):
            yield self.label(image, request, unique_stem(image_stem(image, number), stems))

    def label(
        self,
        image: ImageLike,
        request: Request,
        stem: str = "",
        *,
        tile: int | None = None,
        large: bool = False,
        name: str = "",
        report: Callable[[str], None] = no_report,
    ) -> SegmentationResult:
        """Segments one image with a checked request.

        Args:
            image: one image, see `__call__`.
            request: categories and rules.
            stem: start of the file names of the result; empty: the name of the file.
            tile: side in pixels of the tiles in which a larger image is segmented; 0: one piece of
                any size; None: tiles for images above 50 megapixels, see `ovss.api.pieces`. Tiles
                bound the memory. With `request.probabilities` the image is one piece.
            large: True to read files above 100 megapixels; a side of tiles lifts this limit too.
            name: path or address of an image that is given as pixels; empty: unknown.
            report: callback for a sentence about tiles that the user did not ask for.
        """
        source = LazyImage(image, large=large or bool(tile))
        size = largest_piece(self.name, self.model, source.size, request, tile)
        if size[0] < source.size[0] or size[1] < source.size[1]:
            if tile is None:
                report(
                    f"{source.size[1]} x {source.size[0]} pixels are segmented in tiles of "
                    f"{size[1]} x {size[0]}, so that the memory suffices"
                )
            return self._tiled(image, source, request, stem, size)
        rgb_HW3 = source.whole()
        del source  # holds the pixels once more
        with current_images([CurrentImage(name or _name_of(image))]):
            labels_HW, best_HW, probs_THW = self._segment(rgb_HW3, request)
        scores_T = mean_scores(labels_HW, best_HW, len(request.names))
        return self._result(image, labels_HW, scores_T, rgb_HW3, request, stem, probs_THW)

    def _segment(
        self, rgb_HW3: np.ndarray, request: Request
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        text = self.encode(request.queries)
        with computing_in(self.precision):
            return segment_pixels(self.model, self.device, rgb_HW3, text, request)

    def _tiled(
        self,
        image: ImageLike,
        source: LazyImage,
        request: Request,
        stem: str,
        tile: tuple[int, int],
    ) -> SegmentationResult:
        tiled = segment_tiles(
            source,
            lambda rgb_HW3: self._segment(rgb_HW3, request)[:2],
            len(request.names),
            tile=tile,
            overlap=min(tile) // SHARE_OF_OVERLAP,
            progress=True,
        )
        image_HW3 = tiled.preview_image()
        result = self._result(image, tiled.label_map, tiled.scores, image_HW3, request, stem)
        return replace(result, tile=tile)

    def _result(
        self,
        image: ImageLike,
        labels_HW: np.ndarray,
        scores_T: np.ndarray,
        rgb_HW3: np.ndarray,
        request: Request,
        stem: str,
        probs_THW: np.ndarray | None = None,
    ) -> SegmentationResult:
        result = SegmentationResult(
            labels_HW,
            request.names,
            scores_T,
            rgb_HW3,
            _name_of(image) or None,
            self.name,
            note=self.note,
            probabilities=probs_THW,
            stem=stem or image_stem(image),
        )
        activation = self.model.inference.activation
        warnings = (
            self.caution(request),
            confidence_warning(scores_T, result.pixels, len(request.queries), activation),
        )
        return replace(result, warnings=tuple(filter(None, warnings)))

    def caution(self, request: Request) -> str:
        """Warning that any answer to a request would be meaningless; empty if it is sound."""
        return request.caution(self.model.inference.activation == "softmax")

    def encode(self, names: tuple[str, ...]) -> TextFeatures:
        """Text features of a vocabulary, cached for the last few vocabularies."""
        if names not in self._texts:
            with torch.inference_mode():
                self._texts[names] = self.model.encode_vocabulary(names)
        self._texts.move_to_end(names)
        while len(self._texts) > CACHED_VOCABULARIES:
            self._texts.popitem(last=False)
        return self._texts[names]


def _name_of(image: ImageLike) -> str:
    """Path or address of an image; empty for image data."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else ""


@typed_arguments
def segment(
    image: ImageLike | list | tuple,
    words: Words,
    model: str | Path | None = None,
    *,
    background: Words | None = None,
    threshold: float = 0.0,
    probabilities: bool = False,
    **options: Any,
) -> Any:
    """Segments one image, or several, with one call.

    The model is built again in each call. To segment at several places in your code, create an
    `Inferencer` once.

    Args:
        image: image or images, as in `Inferencer.__call__`.
        words: categories to look for, as in `Inferencer.__call__`.
        model: name of a config or path of a config file; None as in `Inferencer`.
        background: see `Inferencer.__call__`.
        threshold: see `Inferencer.__call__`.
        probabilities: see `Inferencer.__call__`.
        options: other arguments of `Inferencer`.
    """
    request = Request.of(words, background, threshold, probabilities)  # checked before the model
    return Inferencer(model, **options).answer(image, request)

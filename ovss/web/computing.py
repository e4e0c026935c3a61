"""Segmentation of one image with one method after the other, with the seconds of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ovss.api.result import SegmentationResult

from .form import Form
from .models import ModelStore
from .uploads import UserImage

__all__ = ["Segmented", "segment_each"]


@dataclass(frozen=True)
class Segmented:
    """Outcome of one method.

    Args:
        method: name of the method.
        result: result; None after an error.
        error: exception, or None.
        seconds: seconds for the image.
        text_seconds: seconds for encoding the categories; about 0 if they were known.
        build_seconds: seconds for building the model; 0 if it was in memory.
    """

    method: str
    result: SegmentationResult | None = None
    error: Exception | None = None
    seconds: float = 0.0
    text_seconds: float = 0.0
    build_seconds: float = 0.0


def segment_each(form: Form, image: UserImage, models: ModelStore) -> Iterator[Segmented]:
    """Segments an image with each method of a form; an error ends only its own method.

    Args:
        form: checked fields of the page.
        image: decoded image.
        models: models, built when they are needed.

    Yields:
        One outcome per method, as soon as it is there.
    """
    for method in form.methods:
        try:
            yield _segment(form, image, models, method)
        except Exception as error:
            yield Segmented(method, error=error)


def _segment(form: Form, image: UserImage, models: ModelStore, method: str) -> Segmented:
    with models.borrowed(method) as (model, build_seconds):
        start = time.perf_counter()
        model.encode(form.request.queries)
        encoded = time.perf_counter()
        result = model.label(image.rgb_HW3, form.request)
        end = time.perf_counter()
    return Segmented(
        method,
        result,
        seconds=end - encoded,
        text_seconds=encoded - start,
        build_seconds=build_seconds,
    )

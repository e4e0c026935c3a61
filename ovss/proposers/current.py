"""Images that are being encoded: their names and, for upper bounds, their label maps.

An encoder sees pixels only. A proposer that looks its regions up needs to know which image the
pixels show, and the upper bound of any proposer needs the ground truth. `OpenVocabSegmentor` and
`Inferencer` state both here for the duration of a call. Label maps are stated only for encoders
that declare ``reads_labels``, so that no other component can come across them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ovss.io.advice import advised

__all__ = ["CurrentImage", "current_images", "current_labels", "current_names", "current_samples"]


@dataclass(frozen=True)
class CurrentImage:
    """Image that is being encoded.

    Args:
        name: path or name of the image; empty if unknown.
        labels_HW: label map that covers the image, with `IGNORE` where nothing is known; None if
            there is none, or if it must not be read.
    """

    name: str = ""
    labels_HW: Tensor | None = None


_CURRENT: ContextVar[tuple[CurrentImage, ...]] = ContextVar("current_images", default=())


@contextmanager
def current_images(images: Sequence[CurrentImage]) -> Iterator[None]:
    """States the images of each batch that is encoded inside the context."""
    token = _CURRENT.set(tuple(images))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_samples(samples: Sequence[Any], reads_labels: bool) -> Any:
    """Context like `current_images`, for data samples of mmengine.

    Args:
        samples: one sample for each image. ``img_path`` in its metainfo is the name of the image.
        reads_labels: `Encoder.reads_labels`; without it the label maps are not stated.
    """
    images = []
    for sample in samples:
        labels_HW = sample.gt_sem_seg.data[0] if reads_labels and "gt_sem_seg" in sample else None
        images.append(CurrentImage(str(sample.metainfo.get("img_path", "")), labels_HW))
    return current_images(images)


def current_names(count: int, reader: str) -> list[str]:
    """Names of the images of a batch.

    Args:
        count: number of images of the batch.
        reader: class that reads them, for messages.

    Raises:
        LookupError: images without names, or another number of images.
    """
    names = [image.name for image in _CURRENT.get()]
    if len(names) != count or not all(names):
        missing = LookupError(
            f"{reader} expects the name of each of {count} images, got {names or 'none'}. Segment "
            f"image files or a dataset, with inference mode 'whole'."
        )
        raise advised(missing, "known_images")
    return names


def current_labels(count: int, reader: str) -> list[Tensor]:
    """Label maps of the images of a batch; see `current_names` for the arguments.

    Raises:
        LookupError: images without a label map, or another number of images.
    """
    maps = [image.labels_HW for image in _CURRENT.get()]
    found = [labels_HW for labels_HW in maps if labels_HW is not None]
    if len(maps) != count or len(found) != count:
        missing = LookupError(
            f"{reader} expects the label map of each of {count} images, got {len(found)}. Evaluate "
            f"it on a dataset with label maps; it cannot segment other images."
        )
        raise advised(missing, "known_images")
    return found

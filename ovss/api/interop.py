"""Results in the forms of other libraries, and on screen."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageShow

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["detections_of", "png_of", "segments_of", "show_image"]

PNG_SIDE = 1024  # px: drawings in notebooks are not larger


def segments_of(result: SegmentationResult) -> list[dict[str, Any]]:
    """Segments in the form of the image segmentation pipelines of transformers."""
    return [
        {
            "label": result.categories[index],
            "score": float(result.scores[index]),
            "mask": Image.fromarray(result.mask(index).astype(np.uint8) * 255),
        }
        for index in result.present_indices
    ]


def detections_of(result: SegmentationResult) -> Any:
    """Detections of the library supervision, one per category.

    Raises:
        ImportError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            "detections need the package supervision, which is not installed. "
            "Install it with `pip install 'ovss[supervision]'`"
        ) from error
    indices = list(result.present_indices)
    height, width = result.label_map.shape
    masks_NHW = np.zeros((len(indices), height, width), bool)
    boxes_N4 = np.zeros((len(indices), 4), np.float32)
    for place, index in enumerate(indices):
        masks_NHW[place] = result.mask(index)
        rows = masks_NHW[place].any(1).nonzero()[0]
        columns = masks_NHW[place].any(0).nonzero()[0]
        boxes_N4[place] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return supervision.Detections(
        xyxy=boxes_N4,
        mask=masks_NHW,
        confidence=np.asarray(result.scores, np.float32)[indices],
        class_id=np.array(indices, int),
        data={"class_name": np.array([result.categories[i] for i in indices], dtype=np.str_)},
    )


def show_image(image: Image.Image) -> None:
    """Displays an image: in the output of a notebook, else in the system's image viewer.

    Raises:
        OSError: the machine has no image viewer.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is not None:
        from IPython.display import display

        display(image)
    elif not ImageShow.show(image):
        raise OSError("no image viewer was found on this machine. Save the drawing to a file")


def png_of(image: Image.Image) -> bytes:
    """PNG of an image, at most 1024 pixels wide and high."""
    image = image.copy()
    image.thumbnail((PNG_SIDE, PNG_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return buffer.getvalue()

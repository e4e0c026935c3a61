"""Drawing of label maps: tinted images and PNGs of labels. Needs only numpy and Pillow."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .colors import MIX, PAPER, UNKNOWN_COLOR, tints
from .legend import MIN_SIDE

__all__ = ["enlarge_small", "label_image", "overlay", "sampled_labels", "unknown_value"]

UNKNOWN = -1  # ovss.selection.IGNORE, whose module needs torch


def enlarge_small(image_HWC: np.ndarray) -> np.ndarray:
    """Enlarges an image or label map by a whole factor to at least 240 pixels on the larger side.

    Pixels are repeated. Larger images are returned unchanged.
    """
    factor = math.ceil(MIN_SIDE / max(image_HWC.shape[:2]))
    return image_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def sampled_labels(labels_HW: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Label map at the size of a smaller copy of its image: the labels at the centres of pixels."""
    if labels_HW.shape == tuple(size):
        return labels_HW
    rows, columns = (
        (np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(labels_HW.shape, size)
    )
    return labels_HW[rows[:, None], columns]


def unknown_value(count: int) -> int:
    """Value of unknown pixels in the `label_image` of `count` categories.

    >>> unknown_value(255), unknown_value(256)
    (255, 65535)
    """
    return 255 if count <= 255 else 65535


def label_image(labels_HW: np.ndarray, colors_T3: np.ndarray) -> Image.Image:
    """Converts a label map to an image whose pixel values are the labels.

    Args:
        labels_HW: category indices in 0..T-1, or -1 for unknown pixels.
        colors_T3: RGB uint8 colours of the categories.

    Returns:
        Palette image (mode P) with these colours for up to 255 categories, else a 16-bit grey
        image. Unknown pixels have the value `unknown_value(T)`.

    Raises:
        ValueError: a label lies outside -1..T-1, or there are more than 65535 categories.
    """
    count = len(colors_T3)
    if count > 65535:
        raise ValueError(f"a PNG of labels holds at most 65535 categories, got {count}")
    labels_HW = _checked(labels_HW, count)
    values_HW = np.where(labels_HW == UNKNOWN, unknown_value(count), labels_HW)
    if count > 255:
        return Image.fromarray(values_HW.astype(np.uint16))
    image = Image.fromarray(values_HW.astype(np.uint8))
    padded_T3 = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
    padded_T3[:count] = colors_T3
    image.putpalette(padded_T3.tobytes())
    return image


def overlay(
    image_HW3: np.ndarray, labels_HW: np.ndarray, colors_T3: np.ndarray, opacity: float = 0.55
) -> Image.Image:
    """Tints an image by category and draws a thin light line where categories meet.

    The hue of a pixel is that of its category, because the tint follows only the lightness of the
    image. Below an opacity of 0.4, the image's own colours show through more and more.

    Args:
        image_HW3: image, RGB uint8.
        labels_HW: category index of each pixel; pixels with -1 are drawn grey.
        colors_T3: RGB uint8 colours of the categories.
        opacity: weight of the colours; 0 shows only the image, 1 only the colours.

    Raises:
        ValueError: the label map and the image differ in size, a label lies outside -1..T-1, or
            the opacity lies outside 0..1.
    """
    if image_HW3.shape[:2] != labels_HW.shape:
        raise ValueError(
            f"a label map of (height, width) {labels_HW.shape} does not fit an image of "
            f"{image_HW3.shape[:2]}"
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be in 0..1, got {opacity}")
    image = Image.fromarray(image_HW3)
    if opacity == 0:
        return image
    shifted_HW = _checked(labels_HW, len(colors_T3)).astype(np.intp) - UNKNOWN
    present_N = np.bincount(shifted_HW.ravel()).nonzero()[0]
    place_T = np.zeros(len(colors_T3) + 1, np.intp)
    place_T[present_N] = np.arange(len(present_N))
    colors_N3 = np.concatenate([np.array([UNKNOWN_COLOR], np.uint8), colors_T3])[present_N]
    tinted_HW3 = tints(colors_N3, opacity)[place_T[shifted_HW], np.asarray(image.convert("L"))]
    if opacity < MIX:
        # Pillow blends in 8 bits, which avoids a float copy of a large image
        mixed = Image.blend(image, Image.fromarray(tinted_HW3), opacity / MIX)
        tinted_HW3 = np.array(mixed)
    tinted_HW3[_borders(labels_HW)] = PAPER
    return Image.fromarray(tinted_HW3)


def _checked(labels_HW: np.ndarray, count: int) -> np.ndarray:
    low, high = int(labels_HW.min(initial=0)), int(labels_HW.max(initial=UNKNOWN))
    if not UNKNOWN <= low <= high + 1 <= count:
        raise ValueError(f"labels lie in {low}..{high}, which is outside -1..{count - 1}")
    return labels_HW


def _borders(labels_HW: np.ndarray) -> np.ndarray:
    """Mask of borders: True on the upper or left of two different neighbours.

    The lines are thicker on large images.
    """
    edge_HW = np.zeros(labels_HW.shape, dtype=bool)
    if min(labels_HW.shape) < MIN_SIDE / 4:
        return edge_HW  # in an image this small, lines would cover the regions
    width = max(1, round(min(labels_HW.shape) / 600))
    for step in range(1, width + 1):
        edge_HW[:-step] |= labels_HW[:-step] != labels_HW[step:]
        edge_HW[:, :-step] |= labels_HW[:, :-step] != labels_HW[:, step:]
    return edge_HW

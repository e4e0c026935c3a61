"""Contact sheet of label maps: one row per scene, one column per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from ovss.data.base import SegmentationDataset
from ovss.drawing.colors import palette
from ovss.drawing.fonts import displayable
from ovss.drawing.overlay import enlarge_small, overlay
from ovss.drawing.text import draw_text
from ovss.proposers.current import CurrentImage, current_images
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import IGNORE
from ovss.vocabularies.seen import seen_mask

PAPER, INK = (255, 255, 255), (20, 20, 20)
LINE, MARGIN, FONT_SIZE = 16, 6, 12
_LEGEND = 5
"""Number of categories listed under a cell."""


@dataclass(frozen=True)
class Scenes:
    """Labelled images of a dataset.

    Args:
        images: uint8 arrays (H, W, 3).
        truth: label maps (H, W), `IGNORE` where nothing is labelled.
        names: names of the T categories.
        seen_T: True for categories of the training set.
    """

    images: list[np.ndarray]
    truth: list[np.ndarray]
    names: tuple[str, ...]
    seen_T: np.ndarray


def read_scenes(data: SegmentationDataset, numbers: Sequence[int]) -> Scenes:
    """Reads images and labels of a dataset.

    Args:
        data: dataset.
        numbers: positions of the images in the dataset, from 0.

    Raises:
        ValueError: a number outside the dataset.
    """
    outside = [i for i in numbers if not 0 <= i < len(data)]
    if outside:
        raise ValueError(f"Expected scenes in 0..{len(data) - 1}, got {outside}")
    samples = [data[i] for i in numbers]
    return Scenes(
        [sample["inputs"].permute(1, 2, 0).numpy().astype(np.uint8) for sample in samples],
        [sample["data_samples"].gt_sem_seg.data[0].numpy() for sample in samples],
        data.names,
        seen_mask(data.names, data.seen),
    )


@torch.inference_mode()
def label_maps(model: OpenVocabSegmentor, scenes: Scenes, device: str) -> list[np.ndarray]:
    """Segments each scene; returns its label map (H, W)."""
    text = model.encode_vocabulary(scenes.names)
    maps = []
    for image_HW3, labels_HW in zip(scenes.images, scenes.truth, strict=True):
        image_3HW = torch.from_numpy(image_HW3).permute(2, 0, 1).to(device)
        known = CurrentImage(labels_HW=torch.from_numpy(labels_HW).to(device))
        with current_images([known] * model.encoder.reads_labels):
            scores = model.scores(image_3HW, text)
        maps.append(model.label_map(scores, image_HW3.shape[:2]).cpu().numpy())
    return maps


def draw_sheet(scenes: Scenes, predictions: Mapping[str, list[np.ndarray]]) -> Image.Image:
    """Draws one row per scene: the image, the ground truth, each method's label map.

    The legend under a label map lists its largest categories in their colours and marks unseen
    ones with a star. The title of a prediction ends with its pixel accuracy in percent.

    Args:
        scenes: images and ground truth.
        predictions: title -> label maps, one per scene.
    """
    columns = {"truth": scenes.truth, **predictions}
    rows = [
        _row(scenes, index, {title: maps[index] for title, maps in columns.items()})
        for index in range(len(scenes.images))
    ]
    page = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    page.paste(PAPER, (0, 0, *page.size))
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def _row(scenes: Scenes, index: int, maps: dict[str, np.ndarray]) -> Image.Image:
    image_HW3, truth_HW = scenes.images[index], scenes.truth[index]
    colors_T3 = palette(len(scenes.names))
    cells = [_cell("image", image_HW3, [])]
    for title, labels_HW in maps.items():
        tinted = overlay(image_HW3, np.where(labels_HW == IGNORE, 0, labels_HW), colors_T3)
        legend = [
            (_mark(scenes, t), tuple(map(int, colors_T3[t])))
            for t in _largest([labels_HW], _LEGEND)
        ]
        if title != "truth":
            correct = (labels_HW == truth_HW)[truth_HW != IGNORE].mean() * 100
            title = f"{title}  {correct:.1f}"
        cells.append(_cell(title, np.asarray(tinted), legend))
    row = Image.new("RGB", (sum(c.width for c in cells), max(c.height for c in cells)), PAPER)
    left = 0
    for cell in cells:
        row.paste(cell, (left, 0))
        left += cell.width
    return row


def _mark(scenes: Scenes, t: int) -> str:
    """Name of a category for the legend; a star marks an unseen one."""
    return displayable(scenes.names[t], f"category {t}") + ("" if scenes.seen_T[t] else " *")


def _largest(maps: list[np.ndarray], count: int | None = None) -> list[int]:
    """Categories of label maps by area, the largest first.

    With a `count`, `IGNORE` is counted among the largest before it is left out.
    """
    values, counts = np.unique(np.stack(maps), return_counts=True)
    order = [int(values[i]) for i in np.argsort(-counts, kind="stable")]
    return [t for t in order[:count] if t != IGNORE]


def _cell(title: str, image_HW3: np.ndarray, legend: list[tuple[str, tuple]]) -> Image.Image:
    """Draws an image with a title above and a legend below."""
    image = Image.fromarray(enlarge_small(image_HW3))
    size = (image.width + MARGIN, image.height + LINE * (2 + _LEGEND) + MARGIN)
    box = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(box)
    draw_text(draw, 2, LINE / 2, displayable(title, "method"), FONT_SIZE, INK)
    box.paste(image, (0, LINE))
    for index, (name, color) in enumerate(legend):
        top = LINE + image.height + 2 + index * LINE
        draw.rectangle((2, top + 2, 12, top + 12), fill=color)
        draw_text(draw, 18, top + LINE / 2 - 1, name, FONT_SIZE, INK)
    return box

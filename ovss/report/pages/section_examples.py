"""Section: best and worst images, with the label map of each method."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ovss.drawing.colors import palette
from ovss.drawing.overlay import overlay
from ovss.selection import IGNORE

from ..cells import MAPS, SCENES, Cell
from ..choices import rank_methods
from ..document import Block, Chip, ExampleRow, Examples, ExampleTile, Section
from ..example_choice import choose_examples, mious_of_images
from ..measure_maps import decoded_image, decoded_labels
from ..view import ReportView, protocol_lines
from .parts import paragraph, plain

__all__ = ["examples_section"]

_CHIPS = 4
_COLORS = 64
"""Number of colours of an inlined PNG, which makes it three times smaller."""


def examples_section(view: ReportView) -> Section:
    """Rows of images for each dataset, the best ones first."""
    blocks: list[Block] = [paragraph(plain(
        "The images with the highest and with the lowest mIoU, as a mean over the methods. A "
        "percentage is the mIoU of one image, over the categories in its ground truth. Colours "
        "name categories; a star marks an unseen one. Neighbouring pixels of one colour belong to "
        "one category."
    ))]  # fmt: skip
    cells: list[Cell] = []
    for data in view.plan.datasets:
        ranked = [each.cell for each in rank_methods(view, data)]
        scenes = next((c for c in view.of_kind(SCENES) if c.job.data == data and c.content), None)
        if not ranked or scenes is None:
            continue
        cells += ranked
        best, worst = choose_examples(ranked, view.plan.examples)
        for title, numbers in (("best images", best), ("worst images", worst)):
            rows = [_row(view, data, scenes, ranked, number) for number in numbers]
            blocks.append(Examples(f"{data}: {title}", tuple(rows)))
    return Section("examples", "Best and worst images", tuple(blocks), protocol_lines(cells))


def _row(
    view: ReportView, data: str, scenes: Cell, ranked: Sequence[Cell], number: int
) -> ExampleRow:
    place, values = scenes.job.numbers.index(number), scenes.values
    image_HW3 = decoded_image(values["images"][place])
    truth_HW = decoded_labels(values["truth"][place])
    names = [
        name + ("" if seen else " *") for name, seen in zip(values["names"], values["seen"])
    ]
    tiles = [
        ExampleTile("image", _png(Image.fromarray(image_HW3))),
        _tile("truth", image_HW3, truth_HW, names),
    ]
    for cell in ranked:
        label = cell.job.label
        maps = view.find(MAPS, label, data)
        if maps is None or maps.content is None:
            continue
        labels_HW = decoded_labels(maps.values["maps"][place])
        caption = f"{mious_of_images(cell)[number]:.1f} %"
        anchor = view.anchors.of(data, label, "image", str(number))
        tiles.append(_tile(label, image_HW3, labels_HW, names, caption, anchor))
    return ExampleRow(f"Image {number}", tuple(tiles))


def _tile(
    title: str,
    image_HW3: np.ndarray,
    labels_HW: np.ndarray,
    names: Sequence[str],
    caption: str = "",
    anchor: str = "",
) -> ExampleTile:
    colors_T3 = palette(len(names))
    size = (image_HW3.shape[1], image_HW3.shape[0])
    resized = Image.fromarray(labels_HW.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    labels_HW = np.asarray(resized)
    drawn = overlay(image_HW3, labels_HW, colors_T3, opacity=0.75)
    kept, counts = np.unique(labels_HW[labels_HW != IGNORE], return_counts=True)
    largest = [int(kept[i]) for i in np.argsort(-counts, kind="stable")[:_CHIPS]]
    chips = tuple(
        Chip(names[t], "#{:02x}{:02x}{:02x}".format(*map(int, colors_T3[t]))) for t in largest
    )
    return ExampleTile(title, _png(drawn), caption, chips, anchor)


def _png(image: Image.Image) -> str:
    """PNG of an image in base64, with few colours."""
    buffer = io.BytesIO()
    few = image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    few.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()

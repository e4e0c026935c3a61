"""Section: best and worst images, with the label map of each method."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial

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
from ..view import ReportView, protocol_uses
from .parts import paragraph, plain

__all__ = ["examples_section"]

_CHIPS = 4
_FIRST = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
_COLORS = 64
"""Number of colours of an inlined PNG, which makes it three times smaller."""


def examples_section(view: ReportView) -> Section:
    """Rows of images for each dataset, the best ones first."""
    blocks: list[Block] = [paragraph(plain(
        "The images with the highest and with the lowest mIoU, as a mean over the methods. A "
        "percentage is the mIoU of one image, over the categories in its ground truth. Colours "
        "stand for the same categories within a row; a star marks an unseen one."
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
    return Section("examples", "Best and worst images", tuple(blocks), protocol_uses(cells))


def _row(
    view: ReportView, data: str, scenes: Cell, ranked: Sequence[Cell], number: int
) -> ExampleRow:
    place, values = scenes.job.numbers.index(number), scenes.values
    image_HW3 = decoded_image(values["images"][place])
    truth_HW = decoded_labels(values["truth"][place])
    names = [name + ("" if seen else " *") for name, seen in zip(values["names"], values["seen"])]
    maps = {
        cell.job.label: decoded_labels(found.values["maps"][place])
        for cell in ranked
        if (found := view.find(MAPS, cell.job.label, data)) is not None and found.content
    }
    draw = partial(_tile, image_HW3, names, _palette_places([truth_HW, *maps.values()]))
    tiles = [ExampleTile("image", _png(Image.fromarray(image_HW3))), draw("truth", truth_HW)]
    for cell in ranked:
        label = cell.job.label
        if label in maps:
            caption = f"{mious_of_images(cell)[number]:.1f} %"
            anchor = view.anchors.of(data, label, "image", str(number))
            tiles.append(draw(label, maps[label], caption, anchor))
    return ExampleRow(f"Image {number}", tuple(tiles))


def _palette_places(maps: Sequence[np.ndarray]) -> dict[int, int]:
    """Place in the palette of each category of a row, those of the first map and large ones first.

    The first colours differ most, also for readers who cannot tell red from green.
    """
    places: dict[int, int] = {}
    for labels_HW in maps:
        for t in _largest(labels_HW):
            places.setdefault(t, len(places))
    return places


def _row_colors(count: int) -> np.ndarray:
    """Colours (N, 3) of the categories of a row: those of Okabe and Ito, then the palette."""
    first_N3 = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in _FIRST])
    return np.concatenate([first_N3, palette(count)]).astype(np.uint8)[: max(count, 1)]


def _largest(labels_HW: np.ndarray) -> list[int]:
    """Categories of a label map, the largest first."""
    kept, counts = np.unique(labels_HW[labels_HW != IGNORE], return_counts=True)
    return [int(kept[i]) for i in np.argsort(-counts, kind="stable")]


def _tile(
    image_HW3: np.ndarray,
    names: Sequence[str],
    places: dict[int, int],
    title: str,
    labels_HW: np.ndarray,
    caption: str = "",
    anchor: str = "",
) -> ExampleTile:
    size = (image_HW3.shape[1], image_HW3.shape[0])
    resized = Image.fromarray(labels_HW.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    labels_HW, colors_N3 = np.asarray(resized), _row_colors(len(places))
    places_HW = np.full(labels_HW.shape, IGNORE)
    for t, place in places.items():
        places_HW[labels_HW == t] = place
    drawn = overlay(image_HW3, places_HW, colors_N3, opacity=0.75)
    chips = tuple(
        Chip(names[t], "#{:02x}{:02x}{:02x}".format(*map(int, colors_N3[places[t]])))
        for t in _largest(labels_HW)[:_CHIPS]
    )
    return ExampleTile(title, _png(drawn), caption, chips, anchor)


def _png(image: Image.Image) -> str:
    """PNG of an image in base64, with few colours."""
    buffer = io.BytesIO()
    few = image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    few.save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()

"""Drawings of label maps: sizes, modes, colours, and legends that stay in proportion."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.drawing.colors import palette
from ovss.drawing.legend import LegendEntry, add_legend
from ovss.drawing.overlay import label_image, overlay, unknown_value


@pytest.mark.parametrize(("count", "mode"), [(1, "P"), (255, "P"), (256, "I;16"), (847, "I;16")])
def test_label_image_keeps_every_label(count, mode):
    labels_HW = np.arange(count).repeat(2).reshape(2, -1)
    image = label_image(labels_HW, palette(count))
    assert image.mode == mode
    assert (np.asarray(image) == labels_HW).all()


@pytest.mark.parametrize(("count", "value"), [(1, 255), (255, 255), (256, 65535)])
def test_unknown_pixels_have_a_value_that_no_category_has(count, value):
    pixels = np.asarray(label_image(np.array([[-1, count - 1]]), palette(count)))
    assert pixels.tolist() == [[value, count - 1]]
    assert unknown_value(count) == value


def test_label_image_has_the_colours_of_the_overlay():
    image = label_image(np.array([[0, 41]]), palette(42))
    assert (np.asarray(image.convert("RGB"))[0] == palette(42)[[0, 41]]).all()


@pytest.mark.parametrize("label", [-2, 3])
def test_label_outside_the_vocabulary_is_rejected(label):
    labels_HW = np.array([[0, label]])
    with pytest.raises(ValueError, match=r"outside -1\.\.2"):
        label_image(labels_HW, palette(3))
    with pytest.raises(ValueError, match=r"outside -1\.\.2"):
        overlay(np.zeros((1, 2, 3), np.uint8), labels_HW, palette(3))


def test_overlay_rejects_another_size():
    with pytest.raises(ValueError, match="does not fit"):
        overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), int), palette(1))


def test_overlay_opacity_runs_from_image_to_colours():
    image_HW3 = np.random.randint(0, 256, (8, 8, 3), dtype=np.uint8)
    labels_HW = np.random.randint(0, 5, (8, 8))
    assert (np.asarray(overlay(image_HW3, labels_HW, palette(5), 0.0)) == image_HW3).all()
    assert (
        np.asarray(overlay(image_HW3, labels_HW, palette(5), 1.0)) == palette(5)[labels_HW]
    ).all()
    with pytest.raises(ValueError, match=r"opacity must be in 0\.\.1, got 55"):
        overlay(image_HW3, labels_HW, palette(5), 55)


def test_a_faint_overlay_is_close_to_the_image():
    image_HW3 = np.random.randint(0, 256, (8, 8, 3), dtype=np.uint8)
    faint = np.asarray(overlay(image_HW3, np.zeros((8, 8), int), palette(1), 0.02)).astype(int)
    assert np.abs(faint - image_HW3).max() < 20


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (40, 30), (1200, 800)])
@pytest.mark.parametrize("count", [1, 12, 150])
def test_legend_fits_any_image(size, count):
    from PIL import Image

    entries = [
        LegendEntry(f"a rather long category name {i}", tuple(color), 1 / count)
        for i, color in enumerate(palette(count).tolist())
    ]
    sheet = add_legend(Image.new("RGB", size, "blue"), entries)
    assert max(sheet.size) >= 240
    assert sheet.width <= max(size[0], 700)
    enlarged = max(1, -(-240 // max(size))) * size[1]
    assert enlarged < sheet.height <= 2 * enlarged + 400


def test_legend_shows_the_largest_first():
    from PIL import Image

    small, large = LegendEntry("small", (255, 0, 0), 0.1), LegendEntry("large", (0, 0, 255), 0.9)
    pixels = np.asarray(add_legend(Image.new("RGB", (100, 300)), [small, large])).astype(int)
    red = np.argwhere((pixels == (255, 0, 0)).all(2))
    blue = np.argwhere((pixels == (0, 0, 255)).all(2))
    assert blue.min(0).tolist() < red.min(0).tolist()


def test_a_note_is_the_last_line_of_the_legend_and_is_broken_to_its_width():
    from PIL import Image

    image, entry = Image.new("RGB", (300, 300)), LegendEntry("cat", (255, 0, 0), 1.0)
    plain = add_legend(image, [entry])
    short, long = (add_legend(image, [entry], "random weights " * n) for n in (1, 20))
    assert plain.size[0] == short.size[0] == long.size[0] == 300
    assert plain.size[1] < short.size[1] < long.size[1]
    assert (np.asarray(short)[: plain.height - 10] == np.asarray(plain)[:-10]).all()


def test_unknown_pixels_are_the_ignored_ones():
    """The two constants are one value; the drawing room does not import torch for it."""
    from ovss.drawing.overlay import UNKNOWN
    from ovss.selection import IGNORE

    assert UNKNOWN == IGNORE

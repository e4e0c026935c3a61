"""Drawings of label maps: sizes, modes, colours, and legends that stay in proportion."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.io.drawing import LegendEntry, add_legend, distinct_palette, label_image, overlay, palette


def test_palette_only_grows():
    assert (palette(300)[:7] == palette(7)).all()


def test_palette_neighbours_differ():
    colors = palette(150).astype(int)
    steps = [np.abs(colors[i:] - colors[:-i]).sum(1).min() for i in range(1, 6)]
    assert min(steps) > 60


def test_categories_of_one_image_get_different_colours():
    """Indices 0 and 21 look alike in the fixed palette."""
    present = [0, 21, 8, 42, 63, 84, 105, 126]
    colors = distinct_palette(150, present).astype(int)
    distance = np.abs(colors[present][:, None] - colors[present]).sum(2)
    assert (distance + np.eye(len(present)) * 999).min() >= 130
    assert (colors[0] == palette(1)[0]).all()
    others = [i for i in range(150) if i not in present]
    assert (colors[others] == palette(150)[others]).all()


@pytest.mark.parametrize("count", [1, 256, 847])
def test_colours_of_an_image_that_shows_every_category(count):
    assert distinct_palette(count, range(count)).shape == (count, 3)


@pytest.mark.parametrize(("count", "mode"), [(1, "P"), (256, "P"), (257, "I;16"), (847, "I;16")])
def test_label_image_keeps_every_label(count, mode):
    labels_HW = np.arange(count).repeat(2).reshape(2, -1)
    image = label_image(labels_HW, palette(count))
    assert image.mode == mode
    assert (np.asarray(image) == labels_HW).all()


def test_label_image_has_the_colours_of_the_overlay():
    image = label_image(np.array([[0, 41]]), palette(42))
    assert (np.asarray(image.convert("RGB"))[0] == palette(42)[[0, 41]]).all()


@pytest.mark.parametrize("label", [-1, 3])
def test_label_outside_the_vocabulary_is_rejected(label):
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        label_image(np.array([[0, label]]), palette(3))


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

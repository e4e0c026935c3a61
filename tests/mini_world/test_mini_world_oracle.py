"""Categories of the mini world by name, and label maps by the area of the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.mini_world import COLOURS, SHAPES, SURFACES, MiniWorld, is_seen, object_names, seen_names

SEEN_20 = (
    "plain black cross",
    "dotted red star",
    "bordered orange square",
    "striped green heart",
    "dotted pink moon",
    "bordered white ring",
    "plain black star",
    "grass",
    "brick wall",
    "water",
    "snow",
    "wooden floor",
)
FILLED = {"circle": np.pi / 4, "square": 1.0}  # share of the box around the shape


def test_seen_categories_are_pinned_and_follow_the_documented_rule():
    assert seen_names("mini_20") == SEEN_20
    for name in object_names():
        surface, colour, shape = name.split()
        code = COLOURS.index(colour) + 2 * SHAPES.index(shape) + 2 * SURFACES.index(surface)
        assert is_seen(name) == (code % 5 in (0, 1, 2))


def test_label_maps_have_the_area_of_their_shape():
    world = MiniWorld("val", "mini_556", size=96, length=100, objects=(1, 1), difficulty=0.0)
    checked = dict.fromkeys(FILLED, 0)
    for scene in (world[index] for index in range(len(world))):
        (item,) = scene.objects
        inside = scene.mask == world.names.index(item.category)
        assert inside.sum() == item.pixels
        shape = item.attributes.shape
        if shape not in FILLED:
            continue
        height, width = (np.ptp(np.flatnonzero(inside.any(axis))) + 1 for axis in (1, 0))
        assert abs(height - width) <= 1, "upright and not squeezed"
        assert inside.sum() == pytest.approx(FILLED[shape] * height * width, rel=0.04)
        checked[shape] += 1
    assert min(checked.values()) > 3

"""Colours of categories: fixed, well apart, and recognisable in a tint over any image."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.drawing.colors import UNKNOWN_COLOR, lab_of, palette, tints
from ovss.drawing.overlay import overlay


def distances(colors_N3: np.ndarray) -> np.ndarray:
    lab_N3 = lab_of(colors_N3)
    distance_NN = np.linalg.norm(lab_N3[:, None] - lab_N3, axis=2)
    return distance_NN + np.eye(len(lab_N3)) * 999


def test_lab_of_known_colours():
    rgb = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 0], [128, 128, 128]])
    expected = [[53.241, 80.093, 67.203], [32.297, 79.188, -107.860], [0, 0, 0], [53.585, 0, 0]]
    np.testing.assert_allclose(lab_of(rgb), expected, atol=0.001)


@pytest.mark.parametrize("count", [1, 7, 64, 65, 1024, 1025, 5000])
def test_a_colour_depends_on_its_index_only(count):
    assert (palette(5000)[:count] == palette(count)).all()


def test_the_first_colours_are_well_apart_and_all_differ():
    assert distances(palette(12)).min() > 40
    assert distances(palette(64)).min() > 20
    assert len({tuple(color) for color in palette(5000).tolist()}) == 5000


def test_no_colour_is_black_white_or_grey():
    lab_N3 = lab_of(palette(5000))
    assert lab_N3[:, 0].min() > 25
    assert lab_N3[:, 0].max() < 90
    assert np.hypot(lab_N3[:, 1], lab_N3[:, 2]).min() > 25
    away = np.linalg.norm(lab_of(palette(64)) - lab_of(np.array(UNKNOWN_COLOR)), axis=1)
    assert away.min() > 20


@pytest.mark.parametrize("opacity", [0.4, 0.55, 0.8, 1.0])
@pytest.mark.parametrize("count", [2, 12, 64])
def test_a_tint_over_any_colour_is_nearest_to_its_legend_entry(opacity, count):
    """Saturated, black and white images: the category can be read from the colour."""
    generator = np.random.default_rng(count)
    image_HW3 = generator.choice([0, 128, 255], (50, 50, 3)).astype(np.uint8)
    labels_HW = generator.integers(-1, count, (50, 50))
    drawn_HW3 = np.asarray(overlay(image_HW3, labels_HW, palette(count), opacity))
    legend_N3 = lab_of(np.concatenate([[UNKNOWN_COLOR], palette(count)]))
    distance_HWN = np.linalg.norm(lab_of(drawn_HW3)[:, :, None] - legend_N3, axis=3)
    assert (distance_HWN.argmin(2) - 1 == labels_HW).all()


def test_a_tint_shows_the_lightness_of_the_image():
    light_G = lab_of(tints(palette(1), 0.55))[0, :, 0]
    assert (np.diff(light_G[::8]) >= 0).all()
    assert light_G[-1] - light_G[0] > 20

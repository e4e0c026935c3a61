"""Large-scale jitter and random scales by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.data import transform_registry
from ovss.data.random_scale import RandomScale
from ovss.data.scale_jitter import ScaleJitter


def sample(height: int, width: int) -> dict:
    draw = np.random.default_rng(0)
    return {
        "img": draw.integers(0, 256, (height, width, 3), np.uint8),
        "gt_seg_map": draw.choice([-1, 7, 300], (height, width)).astype(np.int32),
        "seg_fields": ["gt_seg_map"],
    }


@pytest.mark.parametrize(("height", "width"), [(30, 60), (60, 30), (1, 200)])
def test_images_fit_into_a_square_of_random_size(height, width):
    sides = []
    for seed in range(40):
        np.random.seed(seed)
        factor = np.random.uniform(0.1, 2.0)
        np.random.seed(seed)
        found = ScaleJitter(100).transform(sample(height, width))
        scale = factor * 100 / max(height, width)
        expected = (max(round(height * scale), 1), max(round(width * scale), 1))
        assert found["img_shape"] == expected == found["gt_seg_map"].shape
        assert found["img"].shape == (*expected, 3)
        assert set(np.unique(found["gt_seg_map"])) <= {-1, 7, 300}
        sides.append(max(expected))
    assert min(sides) < 40
    assert max(sides) > 160


def test_it_is_registered_and_refuses_bad_values():
    assert transform_registry().build(dict(type="ScaleJitter", size=64)).ratio == (0.1, 2.0)
    for ratio in ((0, 1), (2, 1), (1,)):
        with pytest.raises(ValueError, match="two ascending factors above 0"):
            ScaleJitter(64, ratio)
    with pytest.raises(ValueError, match="size"):
        ScaleJitter(0)


@pytest.mark.parametrize(("height", "width"), [(30, 60), (60, 30), (30, 300)])
@pytest.mark.parametrize("antialias", [False, True])
def test_random_scale_fits_two_sides_that_have_the_same_factor(height, width, antialias):
    for seed in range(20):
        np.random.seed(seed)
        factor = np.random.uniform(0.5, 2.0)
        np.random.seed(seed)
        transform = RandomScale((0.5, 2.0), short=20, longest=80, antialias=antialias)
        found = transform.transform(sample(height, width))
        scale = factor * min(20 / min(height, width), 80 / max(height, width))
        expected = (int(height * scale + 0.5), int(width * scale + 0.5))
        assert found["img_shape"] == expected == found["gt_seg_map"].shape
        assert found["img"].shape == (*expected, 3)
        assert set(np.unique(found["gt_seg_map"])) <= {-1, 7, 300}


def test_random_scale_without_sides_starts_from_the_image():
    found = RandomScale((1.5, 1.5)).transform(sample(10, 20))
    assert found["img_shape"] == (15, 30)
    assert transform_registry().build(dict(type="RandomScale")).ratio == (0.5, 2.0)
    for options in (dict(short=5), dict(ratio=(2.0, 1.0)), dict(short=0, longest=5)):
        with pytest.raises(ValueError, match="RandomScale"):
            RandomScale(**options)

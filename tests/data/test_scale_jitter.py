"""Large-scale jitter by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.data import transform_registry
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

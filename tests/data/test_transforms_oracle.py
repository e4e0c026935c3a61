"""Sizes and labels of resized samples, and parts of a dataset, by their definition."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from ovss.data.mini_world_dataset import MiniWorldDataset
from ovss.data.part import limited, spread
from ovss.data.sampler import EndlessSampler
from ovss.data.transforms import ShortestEdge


def sample(height: int, width: int) -> dict:
    draw = np.random.default_rng(0)
    return {
        "img": draw.integers(0, 256, (height, width, 3), np.uint8),
        "gt_seg_map": draw.choice([-1, 7, 300], (height, width)).astype(np.int32),
        "seg_fields": ["gt_seg_map"],
    }


@pytest.mark.parametrize(
    ("image", "size", "longest", "expected"),
    [
        ((30, 60), 15, 999, (15, 30)),
        ((60, 30), 15, 999, (30, 15)),
        ((30, 60), 60, 999, (60, 120)),
        ((30, 60), 60, 80, (40, 80)),
        ((90, 10), 20, 45, (45, 5)),
        ((31, 47), 20, 999, (20, 30)),
    ],
)
def test_the_short_edge_has_the_size_unless_the_long_edge_is_limited(
    image, size, longest, expected
):
    before = sample(*image)
    labels = before["gt_seg_map"]
    after = ShortestEdge(size, longest).transform(dict(before))
    assert after["img"].shape == (*expected, 3)
    assert after["img_shape"] == expected
    resized = after["gt_seg_map"]
    assert resized.shape == expected
    for y, x in np.ndindex(*expected):
        row = int((y + 0.5) * image[0] / expected[0])
        column = int((x + 0.5) * image[1] / expected[1])
        assert resized[y, x] == labels[row, column], "a label that was there, never a mixture"


def test_labels_stay_where_predictions_are_scored_at_full_size():
    before = sample(30, 60)
    after = ShortestEdge(15, 999, labels=False).transform(dict(before))
    assert after["gt_seg_map"] is before["gt_seg_map"]


def test_shrinking_averages_unless_it_must_not():
    squares = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 200
    found = {}
    for antialias in (True, False):
        step = ShortestEdge(8, 999, antialias=antialias)
        image = np.repeat(squares[..., None], 3, axis=2)
        found[antialias] = step.transform({"img": image, "seg_fields": []})["img"].astype(int)
    assert abs(found[True][1:-1, 1:-1] - 100).max() <= 5, "every pixel covers light and dark alike"
    step = np.arange(8) * 4 + 1.5  # centres of the new pixels in the old ones
    low = squares[np.floor(step).astype(int)][:, np.floor(step).astype(int)].astype(int)
    high = squares[np.ceil(step).astype(int)][:, np.ceil(step).astype(int)].astype(int)
    across = squares[np.floor(step).astype(int)][:, np.ceil(step).astype(int)].astype(int)
    expected = (low + high + 2 * across) / 4
    assert abs(found[False][..., 0] - expected).max() <= 1, "only the four nearest pixels count"


@pytest.mark.parametrize(("count", "limit"), [(10, 4), (1000, 7), (5, 5), (3, 9), (9, 1)])
def test_a_part_reaches_from_the_first_to_the_last(count, limit):
    places = spread(count, limit)
    assert len(places) == len(set(places)) == min(count, limit)
    assert places == sorted(places)
    assert places[0] == 0
    if limit > 1:
        assert places[-1] == count - 1
        steps = np.diff(places)
        assert steps.max() - steps.min() <= 1
    items, note = limited([f"image {i}" for i in range(count)], limit)
    assert items == [f"image {i}" for i in places]
    assert (note == "") == (limit >= count)


def test_every_epoch_has_an_order_of_its_own_over_all_images():
    world = MiniWorldDataset("train", "mini_20", 64, 7, [])
    sampler = EndlessSampler(world, seed=3)
    items = list(islice(iter(sampler), 7 * 5))
    epochs = [items[start : start + 7] for start in range(0, len(items), 7)]
    orders = [[item % 7 for item in epoch] for epoch in epochs]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert [{item // 7 for item in epoch} for epoch in epochs] == [{0}, {1}, {2}, {3}, {4}]
    assert len(set(map(tuple, orders))) == 5
    other = list(islice(iter(EndlessSampler(world, seed=4)), 35))
    assert other != items
    sampler.skip(17)
    assert list(islice(iter(sampler), 18)) == items[17:]

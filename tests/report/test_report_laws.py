"""Laws of what a report computes: Pareto line, slopes, spread, intervals, places of labels."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from ovss.report.anchors import Anchors, slug
from ovss.report.cost_vocabulary import made_up_names
from ovss.report.intervals import (
    areas_of,
    bootstrap_draws,
    centred_draws,
    drawn_miou,
    image_miou,
    interval,
)
from ovss.report.label_places import overlap, place_labels, spread_positions
from ovss.report.pareto import pareto_line
from ovss.report.slopes import fit_growth
from ovss.report.spread import spread_of


def beats(first, second):
    return first[0] <= second[0] and first[1] >= second[1] and first != second


@pytest.mark.parametrize("seed", range(20))
def test_the_pareto_line_is_what_nothing_beats(seed):
    draw = np.random.default_rng(seed)
    points = [tuple(map(float, each)) for each in draw.integers(0, 8, (12, 2))]
    line = pareto_line(points)
    on_line = {points[i] for i in line}
    assert on_line == {p for p in points if not any(beats(q, p) for q in points)}
    assert [points[i] for i in line] == sorted(on_line), "cheapest first, each point once"
    shuffled = list(draw.permutation(len(points)))
    assert {points[shuffled[i]] for i in pareto_line([points[i] for i in shuffled])} == on_line


def test_a_line_is_found_again():
    sizes = [20, 150, 556, 2000, 10_000]
    fit = fit_growth(sizes, [3 + 0.02 * size for size in sizes])
    assert fit.fixed == pytest.approx(3)
    assert fit.slope == pytest.approx(0.02)
    assert fit.deviation == pytest.approx(0, abs=1e-9)
    assert fit.at(500) == pytest.approx(13)


def test_the_unit_of_a_cost_changes_no_deviation():
    sizes, costs = [20, 150, 2000], [1.0, 1.4, 9.0]
    one, other = fit_growth(sizes, costs), fit_growth(sizes, [1000 * c for c in costs])
    assert other.slope == pytest.approx(1000 * one.slope)
    assert other.deviation == pytest.approx(one.deviation)


def test_relative_deviations_are_least():
    sizes, costs = np.array([20.0, 150, 2000]), np.array([1.0, 1.4, 9.0])
    fit = fit_growth([20, 150, 2000], list(costs))

    def loss(fixed, slope):
        return float((((fixed + slope * sizes) / costs - 1) ** 2).sum())

    best = loss(fit.fixed, fit.slope)
    for a, b in itertools.product((-0.01, 0, 0.01), (-1e-4, 0, 1e-4)):
        assert loss(fit.fixed + a, fit.slope + b) >= best - 1e-12


@pytest.mark.parametrize(("sizes", "costs"), [([20, 20], [1.0, 2.0]), ([1, 2], [0.0, 1.0])])
def test_no_line_without_two_sizes_and_positive_costs(sizes, costs):
    assert fit_growth(sizes, costs) is None


def test_spread():
    values = [70.0, 71.5, 74.0]
    spread = spread_of(values)
    assert (spread.mean, spread.deviation) == (
        pytest.approx(statistics.fmean(values)),
        pytest.approx(statistics.stdev(values)),
    )
    assert spread_of([5.0]).deviation is None, "one run has no spread"
    assert spread_of([]) is None


def random_counts(seed, images=6, categories=5):
    """Rows of counts, and the label maps that they come from."""
    draw = np.random.default_rng(seed)
    rows, pairs = [], []
    for image in range(images):
        true_N, found_N = draw.integers(0, categories, (2, 40))
        pairs.append((true_N, found_N))
        for t in range(categories):
            correct = int(((true_N == t) & (found_N == t)).sum())
            rows.append([image, t, correct, int((found_N == t).sum()), int((true_N == t).sum())])
    return np.array(rows), pairs


def plain_miou(pairs, categories):
    ious = []
    for t in range(categories):
        true = sum(int((a == t).sum()) for a, _ in pairs)
        both = sum(int(((a == t) & (b == t)).sum()) for a, b in pairs)
        found = sum(int((b == t).sum()) for _, b in pairs)
        if true:
            ious.append(100 * both / (true + found - both))
    return sum(ious) / len(ious)


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_is_an_evaluation_of_the_drawn_images(seed):
    areas, pairs = random_counts(seed)
    counts_DI = bootstrap_draws(len(pairs), draws=7, seed=seed)
    assert (counts_DI.sum(1) == len(pairs)).all()
    for value, counts_I in zip(drawn_miou(areas, 5, counts_DI), counts_DI):
        drawn = [pair for pair, count in zip(pairs, counts_I) for _ in range(count)]
        assert value == pytest.approx(plain_miou(drawn, 5))
    for value, pair in zip(image_miou(areas, len(pairs)), pairs):
        assert value == pytest.approx(plain_miou([pair], 5))


def test_an_interval_holds_the_measured_value_if_rare_categories_are_hard():
    # one easy category everywhere, and one hard one in each image: draws leave hard ones out
    easy = [[image, 0, 90, 100, 100] for image in range(30)]
    hard = [[image, 1 + image, 1, 10, 10] for image in range(30)]
    areas = areas_of(easy + hard)
    measured = drawn_miou(areas, 31, np.ones((1, 30), np.int64)).item()
    low, high = interval(centred_draws(areas, 31, 30))
    assert low < measured < high
    assert drawn_miou(areas, 31, bootstrap_draws(30)).min() > measured, "plain draws are above it"


def test_an_image_without_labels_has_no_miou():
    areas = np.array([[0, 1, 3, 4, 5]])
    assert np.isnan(image_miou(areas, 2)).tolist() == [False, True]


def test_an_interval_holds_its_share():
    low, high = interval(np.arange(1001.0))
    assert (low, high) == (pytest.approx(25), pytest.approx(975))


@pytest.mark.parametrize("seed", range(10))
def test_positions_keep_order_and_distance(seed):
    draw = np.random.default_rng(seed)
    wanted = list(draw.uniform(0, 100, 8))
    found = spread_positions(wanted, 10, 0, 100)
    order = np.argsort(wanted)
    assert np.diff(np.array(found)[order]).min() >= 10 - 1e-9
    assert min(found) >= 0
    assert max(found) <= 100 + 1e-9
    roomy = [0.0, 20.0, 40.0]
    assert spread_positions(roomy, 10) == roomy, "positions with room stay"


@pytest.mark.parametrize("seed", range(10))
def test_labels_cover_neither_labels_nor_points(seed):
    draw = np.random.default_rng(seed)
    points = [tuple(each) for each in draw.uniform(80, 320, (10, 2))]
    points += [(x + 6, y + 4) for x, y in points[:3]]  # crowded ones
    boxes = place_labels(points, [(80, 11)] * len(points), (0, 0, 430, 350))
    for first, second in itertools.combinations(boxes, 2):
        assert overlap(first, second) == 0
    for box in boxes:
        assert overlap(box, (0, 0, 430, 350)) == pytest.approx(80 * 11)


def test_ids_are_stable_and_unique():
    anchors = Anchors()
    assert anchors.of("mini_150", "dcp_clip_mini", "miou") == "mini_150-dcp_clip_mini-miou"
    assert anchors.of("mini_150", "dcp_clip_mini", "miou") == "mini_150-dcp_clip_mini-miou"
    other = anchors.of("mini_150", "DCP clip mini", "miou")
    assert other != anchors.of("mini_150", "dcp_clip_mini", "miou")
    assert slug("木") != ""


def test_made_up_names_differ_and_are_the_same_again():
    names = made_up_names(3000, ["da be"])
    assert len({*names, "da be"}) == 3001
    assert made_up_names(3000, ["da be"]) == names
    assert made_up_names(10, ["da be"]) == names[:10], "longer vocabularies hold the shorter ones"
    assert math.isclose(statistics.fmean(len(name) for name in names), 12, abs_tol=3)

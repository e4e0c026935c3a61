"""Set-based loss: costs of the official matcher, odd targets, and values that are not finite."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from ovss.layers.points import sample_points, uncertain_points
from ovss.losses import SetMatching
from ovss.losses.matching import find_targets, match
from ovss.structures import (
    IGNORE,
    ImageFeatures,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Selection,
    TextFeatures,
)

OFFICIAL = Path(__file__).parent / "data" / "mask_criterion.npz"
WEIGHTS = {"class": 2, "mask": 5, "dice": 5}
LOSSES = {
    "loss_class": 1.5824517011642456,
    "loss_mask": 0.7401741147041321,
    "loss_dice": 0.7777977585792542,
    "loss_class_0": 1.427715539932251,
    "loss_mask_0": 0.7447829246520996,
    "loss_dice_0": 0.7960997819900513,
}


def region_masks(logits_BRQ, mask_BQhw, earlier=(), keep_BT=None, valid_BQ=None, void=True):
    """Decoder output in training. `earlier` holds pairs of class logits and masks."""
    batch, rows, queries = logits_BRQ.shape
    categories = rows - 1 if keep_BT is None else keep_BT.shape[1]
    selection = Selection.everything(batch, rows - 1)
    if keep_BT is not None:
        selection = Selection.from_mask(keep_BT)
    embed = torch.zeros(batch, queries, 1, 1)
    valid_BQ = torch.ones(batch, queries, dtype=torch.bool) if valid_BQ is None else valid_BQ
    layers = tuple(Proposals(mask, embed, valid_BQ) for _, mask in earlier)
    proposals = Proposals(mask_BQhw, embed, valid_BQ, earlier=layers)
    image = ImageFeatures(torch.zeros(batch, 1, 1, 1), torch.zeros(batch, 1), proposals=proposals)
    text = TextFeatures(torch.zeros(categories, 1, 1))

    def aligned(logits, before=()):
        return RegionAlignment(
            logits[:, :-1], logits[:, -1], image, text, selection, earlier=tuple(before)
        )

    last = aligned(logits_BRQ, [aligned(logits) for logits, _ in earlier])
    share = torch.zeros(batch, rows - 1, queries)
    return RegionMasks(share, mask_BQhw, selection, aligned=last)


@pytest.fixture
def official(monkeypatch):
    """Numbers of the official run, whose random points replace ours."""
    state = np.random.RandomState(1)
    monkeypatch.setattr(
        "ovss.layers.points.torch.rand",
        lambda *shape, device=None: torch.from_numpy(state.rand(*shape).astype(np.float32)),
    )
    return np.load(OFFICIAL)


def test_costs_pairs_and_losses_of_the_official_criterion(official, monkeypatch):
    source = np.random.RandomState(0)

    def normal(*shape):
        return torch.from_numpy(source.standard_normal(shape).astype(np.float32))

    before, last = (2 * normal(2, 10, 7).transpose(1, 2) for _ in range(2))
    mask_before, mask_last = (2 * normal(2, 10, 16, 24) for _ in range(2))
    labels = torch.from_numpy(official["labels"].astype(np.int64))
    found = []

    def recorded(costs, valid_BQ):
        pairs = match(costs, valid_BQ)
        starts = [0, costs[0].shape[1]]
        parts = zip(pairs.query_N.split(pairs.counts), pairs.region_N.split(pairs.counts))
        found.extend(
            (cost_QG, query_N, region_N - start)
            for cost_QG, start, (query_N, region_N) in zip(costs, starts, parts, strict=True)
        )
        return pairs

    monkeypatch.setattr("ovss.losses.set_matching.match", recorded)
    masks = region_masks(last, mask_last, [(before, mask_before)])
    losses = SetMatching(points=64)(masks, labels)
    assert losses.keys() == LOSSES.keys()
    for name, value in LOSSES.items():
        assert float(losses[name]) == pytest.approx(WEIGHTS[name.split("_")[1]] * value, rel=1e-5)
    for i, (cost, query, region) in enumerate(found):
        assert np.abs(cost.numpy() - official[f"cost_{i}"]).max() < 1e-5
        assert query.tolist() == official[f"query_{i}"].tolist()
        assert region.tolist() == official[f"target_{i}"].tolist()


def squares(categories: int, size: int = 16) -> torch.Tensor:
    """(1, size, size) label map with a square for each of `categories`, in rows."""
    side = size // 4
    cells = torch.full((16,), IGNORE)
    cells[:categories] = torch.arange(categories)
    return cells.view(4, 4).repeat_interleave(side, 0).repeat_interleave(side, 1)[None]


def logits_of(labels: torch.Tensor, queries: int, categories: int):
    """Class and mask logits of proposals that are right about the first regions."""
    classes = torch.full((1, categories + 1, queries), -10.0)
    masks = torch.full((1, queries, *labels.shape[1:]), -10.0)
    for query in range(queries):
        classes[0, min(query, categories), query] = 10.0
        masks[0, query][labels[0] == query] = 10.0
    return classes, masks


def test_the_right_answer_costs_almost_nothing_in_any_order():
    labels = squares(5)
    classes, masks = logits_of(labels, 7, 5)
    order = torch.tensor([6, 2, 0, 5, 3, 1, 4])
    losses = SetMatching(points=None)(region_masks(classes[..., order], masks[:, order]), labels)
    assert float(sum(losses.values())) < 1e-2


def test_assignment_is_the_cheapest_of_all():
    generator = torch.Generator().manual_seed(0)
    costs = [torch.rand(5, regions, generator=generator) for regions in (3, 0, 2)]
    valid = torch.tensor([[True, True, False, True, True], [True] * 5, [False, True] * 2 + [True]])
    pairs = match(costs, valid)
    assert pairs.counts == (3, 0, 2)
    assert pairs.image_N.tolist() == [0, 0, 0, 2, 2]
    for image, start, allowed in ((0, 0, [0, 1, 3, 4]), (2, 3, [1, 3, 4])):
        own = pairs.image_N == image
        query, region = pairs.query_N[own], pairs.region_N[own] - start
        columns = list(range(costs[image].shape[1]))
        best = min(
            float(costs[image][list(rows), columns].sum())
            for rows in permutations(allowed, len(columns))
        )
        assert query.tolist() == sorted(query.tolist())
        assert float(costs[image][query, region].sum()) == pytest.approx(best)


def test_more_categories_than_proposals_leave_the_worst_unmatched():
    labels = squares(6)
    classes, masks = logits_of(labels, 4, 6)
    losses = SetMatching(points=None)(region_masks(classes, masks), labels)
    assert float(losses["loss_class"]) < 1e-3
    assert float(losses["loss_mask"]) < 1e-3
    assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize("points", [None, 32])
def test_an_image_without_labels_trains_the_class_no_object_only(points):
    classes = torch.zeros(1, 4, 5, requires_grad=True)
    masks = torch.zeros(1, 5, 8, 8, requires_grad=True)
    labels = torch.full((1, 16, 16), IGNORE)
    losses = SetMatching(points=points)(region_masks(classes, masks), labels)
    sum(losses.values()).backward()
    losses = {name: value.detach() for name, value in losses.items()}
    assert float(losses["loss_mask"]) == float(losses["loss_dice"]) == 0
    assert float(losses["loss_class"]) == pytest.approx(2 * np.log(4))
    assert not masks.grad.any()
    assert (classes.grad[:, -1] < 0).all()


def test_unlabelled_pixels_are_negatives_of_every_mask():
    labels = squares(1)
    targets = find_targets(labels, Selection.everything(1, 3), torch.float32)
    assert targets.slot_R.tolist() == [0]
    assert torch.equal(targets.mask_RHW[0], (labels[0] == 0).float())


def test_targets_are_slots_of_the_kept_categories():
    labels = squares(4)
    keep = torch.tensor([[True, True, False, True, True]])
    targets = find_targets(labels, Selection.from_mask(keep), torch.float32)
    assert targets.slot_R.tolist() == [0, 1, 2]
    assert targets.counts == (3,)
    assert torch.equal(targets.mask_RHW[2], (labels[0] == 3).float())


def test_padding_slots_and_invalid_proposals_change_nothing():
    labels = squares(3)
    classes, masks = (torch.randn_like(each) for each in logits_of(labels, 5, 3))
    alone = SetMatching(points=None)(region_masks(classes, masks), labels)
    rows = torch.cat([classes[:, :3], torch.full((1, 1, 5), torch.nan), classes[:, 3:]], dim=1)
    rows = torch.cat([rows, torch.full((1, 5, 1), torch.nan)], dim=2)
    more = torch.cat([masks, torch.full((1, 1, 16, 16), torch.nan)], dim=1)
    valid = torch.tensor([[True] * 5 + [False]])
    keep = torch.tensor([[True] * 3 + [False], [True] * 4])
    padded = region_masks(
        torch.cat([rows, torch.zeros_like(rows)]),
        torch.cat([more, torch.zeros_like(more)]),
        keep_BT=keep,
        valid_BQ=torch.cat([valid, torch.zeros_like(valid)]),
    )
    both = torch.cat([labels, torch.full_like(labels, IGNORE)])
    losses = SetMatching(points=None)(padded, both)
    for name, value in alone.items():
        assert float(losses[name]) == pytest.approx(float(value), rel=1e-5), name


@pytest.mark.parametrize("broken", ["classes", "masks"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_named(broken, value):
    labels = squares(3)
    classes, masks = logits_of(labels, 5, 3)
    {"classes": classes[0, 0], "masks": masks[0, :, 0, 0]}[broken][2] = value
    with pytest.raises(FloatingPointError, match="1 of 5 proposals of image 0"):
        SetMatching(points=None)(region_masks(classes, masks), labels)


def test_masks_of_an_evaluation_are_refused():
    masks = RegionMasks(torch.zeros(1, 2, 3), torch.zeros(1, 3, 4, 4), Selection.everything(1, 2))
    with pytest.raises(ValueError, match=r"expects RegionMasks.aligned.*train\(\)"):
        SetMatching()(masks, squares(2))


def test_a_head_without_void_trains_matched_proposals_only():
    labels = squares(2)
    classes, masks = logits_of(labels, 4, 2)
    classes[:, -1] = -torch.inf
    losses = SetMatching(points=None)(region_masks(classes, masks), labels)
    assert all(value.isfinite() for value in losses.values())
    assert float(losses["loss_class"]) < 1e-3


@pytest.mark.parametrize(
    "options",
    [
        dict(mask_loss="mse"),
        dict(points=0),
        dict(oversample=0.5),
        dict(importance=1.5),
        dict(dice_weight=-1.0),
        dict(mask_cost=-0.1),
        dict(class_weight=math.inf),
        dict(no_object=math.inf),
        dict(oversample=math.inf),
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match="set_matching"):
        SetMatching(**options)


def test_points_are_read_between_pixels_and_outside_is_zero():
    maps = torch.tensor([[[0.0, 4.0], [8.0, 12.0]]])
    point = torch.tensor([[[0.25, 0.25], [0.5, 0.5], [0.75, 0.5], [0.0, 0.25], [1.0, 1.0]]])
    assert sample_points(maps, point)[0].tolist() == [0.0, 6.0, 8.0, 0.0, 3.0]


def test_most_points_lie_where_the_mask_is_uncertain():
    torch.manual_seed(0)
    column = torch.linspace(-8, 8, 64).expand(2, 64, 64)  # 0 in the middle
    point = uncertain_points(column, 400, 3.0, 0.75)
    assert point.shape == (2, 400, 2)
    distance = (point[..., 0] - 0.5).abs()
    assert float(distance[:, :300].max()) < 0.2  # a quarter of the candidates lie nearer than 1/8
    assert float(distance[:, 300:].max()) > 0.4

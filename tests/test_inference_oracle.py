"""Canvas, windows, activations and label maps against numbers that are written out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample

from ovss.inference import InferenceConfig, activate, best_labels, merged_scores, window_origins
from ovss.segmentor import OpenVocabSegmentor, present_categories
from ovss.structures import (
    IGNORE,
    ImageFeatures,
    Masks,
    Scores,
    Selection,
    TextFeatures,
)
from ovss.testing import make_names

TEXT = TextFeatures(torch.eye(3)[:, None])


def shown(views_V3HW: torch.Tensor) -> tuple[ImageFeatures, Masks]:
    """Masks whose logits are the colour channels."""
    features = ImageFeatures(views_V3HW, views_V3HW.mean((2, 3)))
    return features, Masks(views_V3HW / 64 - 2, Selection.everything(len(views_V3HW), 3))


@pytest.mark.parametrize(
    ("image", "size", "keep_ratio", "expected"),
    [
        ((480, 640), 336, True, (336, 448)),
        ((640, 480), 336, True, (448, 336)),
        ((100, 100), 336, True, (336, 336)),
        ((9000, 2), 336, True, (2688, 336)),
        ((480, 640), 336, False, (336, 336)),
        ((480, 640), (240, 320), False, (240, 320)),
        ((480, 640), None, False, (480, 640)),
    ],
)
def test_the_canvas(image, size, keep_ratio, expected):
    assert InferenceConfig(size=size, keep_ratio=keep_ratio).canvas(*image) == expected


@pytest.mark.parametrize(("window", "stride"), [(5, 3), (5, 5), (4, 1)])
@pytest.mark.parametrize("length", [5, 6, 8, 11, 12])
def test_windows_cover_every_pixel_and_stay_inside(length, window, stride):
    starts = window_origins(length, window, stride)
    covered = {pixel for start in starts for pixel in range(start, start + window)}
    assert covered == set(range(length))
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] + window == length
    steps = [b - a for a, b in pairwise(starts)]
    assert all(step == stride for step in steps[:-1])
    assert all(0 < step <= stride for step in steps)


def test_windows_of_an_oblong_canvas_are_averaged_pixel_by_pixel():
    image = 255 * torch.rand(3, 10, 16)
    config = InferenceConfig("slide", (10, 16), window=7, stride=4, global_view=False)
    found = merged_scores(image, TEXT, shown, config).probs_BKHW[0]
    places = [(y, x) for y in (0, 3) for x in (0, 4, 8, 9)]
    for y, x in np.ndindex(10, 16):
        covering = [(top, left) for top, left in places if 0 <= y - top < 7 and 0 <= x - left < 7]
        assert covering, "every pixel lies in a window"
        for channel in range(3):
            logit = float(image[channel, y, x]) / 64 - 2
            # every window shows the pixel itself, so that the mean is its probability
            expected = 1 / (1 + math.exp(-logit))
            assert float(found[channel, y, x]) == pytest.approx(expected, abs=1e-5)


def test_the_global_view_comes_from_the_image_and_not_from_the_canvas():
    image = 255 * torch.rand(3, 40, 40)
    config = InferenceConfig("slide", 24, window=16, stride=8, global_view=True)
    seen: list[torch.Tensor] = []

    def segment(views_V3HW):
        seen.extend(views_V3HW)
        return shown(views_V3HW)

    merged_scores(image, TEXT, segment, config)
    resized = torch.nn.functional.interpolate(image[None], (16, 16), mode="bilinear")[0]
    assert len(seen) == 5
    torch.testing.assert_close(seen[-1], resized)
    canvas = torch.nn.functional.interpolate(image[None], (24, 24), mode="bilinear")[0]
    torch.testing.assert_close(seen[3], canvas[:, 8:, 8:])


def test_probabilities_share_one_among_the_kept_categories():
    selection = Selection.from_mask(torch.tensor([[1, 1, 1], [0, 1, 0]], dtype=torch.bool))
    logits = torch.randn(2, 3, 2, 4)
    soft, own = activate(logits, selection, "softmax"), activate(logits, selection, "sigmoid")
    for y, x in np.ndindex(2, 4):
        powers = [math.exp(float(logit)) for logit in logits[0, :, y, x]]
        expected = [power / sum(powers) for power in powers]
        assert soft[0, :, y, x].tolist() == pytest.approx(expected, rel=1e-4)
        assert soft[1, :, y, x].tolist() == [1, 0, 0], "padding slots get nothing"
        one = 1 / (1 + math.exp(-float(logits[1, 0, y, x])))
        assert own[1, :, y, x].tolist() == pytest.approx([one, 0, 0], rel=1e-4)


def test_the_lower_category_wins_a_tie_between_chunks():
    selection = Selection.from_mask(torch.tensor([[0, 1, 1, 1, 0, 1]], dtype=torch.bool))
    probs = torch.tensor([0.1, 0.6, 0.6, 0.6]).view(1, 4, 1, 1).expand(-1, -1, 3, 3)
    scores = Scores(probs, selection, None, TextFeatures(torch.randn(6, 1, 4)))
    for chunk in (1, 2, 3, 4):
        labels, best = best_labels(scores, (3, 3), chunk)
        assert (labels == 2).all()
        torch.testing.assert_close(best, torch.full((1, 3, 3), 0.6))


def test_a_label_map_has_the_size_of_the_original_image():
    model = OpenVocabSegmentor(
        encoder=dict(type="TinyEncoder"),
        head=dict(type="CosineHead"),
        decoder=dict(type="UpsampleDecoder", scale=10.0),
    ).eval()
    sample = SegDataSample(metainfo={"vocabulary": make_names(3), "ori_shape": (50, 70)})
    image = (255 * torch.rand(3, 48, 64)).byte()
    (sample,) = model([image], [sample], mode="predict")
    assert sample.pred_sem_seg.data.shape == (1, 50, 70)


def test_the_categories_of_a_label_map():
    labels = torch.tensor([[[0, 2, IGNORE]], [[IGNORE, IGNORE, IGNORE]], [[3, 3, 1]]])
    assert present_categories(labels, 4).tolist() == [
        [True, False, True, False],
        [False] * 4,
        [False, True, False, True],
    ]
    with pytest.raises(ValueError, match=r"got -1\.\.3"):
        present_categories(labels, 3)

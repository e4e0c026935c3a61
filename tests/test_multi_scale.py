"""Inference at several scales: windows, mirror images, and categories that some windows drop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.inference import InferenceConfig, merged_scores
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures

TEXT = TextFeatures(torch.eye(3)[:, None])
CONFIG = InferenceConfig(
    mode="multi_scale", size=40, window=24, stride=16, scales=(0.5, 1.0), merge="logits"
)


def colours(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
    """Masks whose logits are the colour channels."""
    features = ImageFeatures(views_V3HW, views_V3HW.mean((2, 3)))
    return features, Masks(views_V3HW / 64 - 2, Selection.everything(len(views_V3HW), 3))


def picky(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
    """The same, without a category in views whose first column is black on average."""
    features, masks = colours(views_V3HW)
    keep = torch.ones(len(views_V3HW), 3, dtype=torch.bool)
    keep[:, 1] = views_V3HW[:, 1, :, 0].mean(1) > 64
    selection = Selection.from_mask(keep)
    logits = torch.gather(
        masks.logits_BKHW,
        1,
        selection.index_BK[:, :, None, None].expand(-1, -1, *views_V3HW.shape[2:]),
    )
    return features, Masks(logits, selection)


def aligned(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (1, 50)])
def test_logits_that_are_pixels_come_back(shape, mirror):
    """The network copies pixels, so every scale gives the resized image."""
    torch.manual_seed(0)
    image = torch.rand(3, *shape) * 255
    config = replace(CONFIG, mirror=mirror, activation="softmax")
    scores = merged_scores(image, TEXT, colours, config)
    height, width = shape
    total = 0
    for longest in (20, 40):
        scale = longest / max(shape)
        size = (
            (longest, max(int(width * scale + 0.5), 1))
            if height > width
            else (max(int(height * scale + 0.5), 1), longest)
        )
        total = total + aligned(aligned(image[None], size), shape) / 2
    torch.testing.assert_close(scores.probs_BKHW, (total / 64 - 2).softmax(1), atol=1e-5, rtol=0)
    assert scores.features is None


def test_the_last_window_reaches_over_the_border_into_black():
    seen = []

    def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
        seen.extend(views_V3HW)
        return colours(views_V3HW)

    config = replace(CONFIG, scales=(1.0,), mirror=True)
    merged_scores(torch.full((3, 40, 26), 255.0), TEXT, segment, config)
    assert len(seen) == 2 * (2 * 2)  # rows from 0 and 16, columns from 0 and 16
    assert all(view.shape == (3, 24, 24) for view in seen)
    assert (seen[1][:, :, :10] == 255).all()
    assert (seen[1][:, :, 10:] == 0).all()
    for plain, mirrored in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(plain.flip(2), mirrored)


@pytest.mark.parametrize("merge", ["logits", "probs"])
def test_a_category_that_some_windows_drop(merge):
    """Logits are averaged over the windows that kept it; a missing probability is 0."""
    torch.manual_seed(0)
    image = torch.rand(3, 40, 40) * 255
    image[1, :, :8] = 0  # windows start at columns 0 and 16; only the latter keep green
    config = replace(CONFIG, scales=(1.0,), merge=merge, activation="sigmoid")
    scores = merged_scores(image, TEXT, picky, config)
    expected = (image / 64 - 2).sigmoid()
    expected[1, :, :16] = 0
    if merge == "probs":
        expected[1, :, 16:24] /= 2  # where windows of both kinds overlap
    assert scores.selection.index_BK.tolist() == [[0, 1, 2]]
    torch.testing.assert_close(scores.probs_BKHW[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mode="multi_scale", size=40), "needs scales above 0"),
        (dict(mode="multi_scale", size=40, scales=(0.0,)), "needs scales above 0"),
        (dict(mode="multi_scale", size=(4, 4), scales=(1.0,)), "a single number as size"),
        (dict(mode="whole", scales=(1.0,)), "need mode='multi_scale'"),
        (dict(mode="slide", size=400, mirror=True), "need mode='multi_scale'"),
        (
            dict(mode="multi_scale", size=40, scales=(1.0,), window=8, stride=9),
            "leaves gaps between windows",
        ),
        (dict(mode="both"), "'whole', 'slide' or 'multi_scale'"),
    ],
)
def test_options_that_contradict_each_other_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        InferenceConfig(**options)


def test_only_one_view_and_a_global_view_show_the_whole_image():
    assert not CONFIG.gives_whole_view
    assert not CONFIG.is_one_view

"""Views of an image: their places in every mode of inference, cut maps, and shared results."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.inference import InferenceConfig, merged_scores
from ovss.layers.current_view import (
    CurrentViews,
    ViewPlace,
    current_views,
    nearest,
    sample_view,
    stated_views,
    view_of,
)
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures

TEXT = TextFeatures(F.normalize(torch.ones(2, 1, 3), dim=2))
SLIDE = dict(mode="slide", size=32, keep_ratio=True, window=32, stride=16)
SCALES = dict(mode="multi_scale", size=48, window=32, stride=16, scales=(0.5, 1.0), mirror=True)


@pytest.mark.parametrize(
    "options", [dict(size=24), {**SLIDE, "global_view": True}, {**SLIDE, "global_view": False},
                {**SCALES, "global_view": False}]
)  # fmt: skip
def test_every_view_shows_the_part_that_its_place_states(options):
    """A view equals its place in the resized image, in batches that end in the middle."""
    image = F.interpolate(torch.rand(1, 3, 6, 8) * 255, (32, 44), mode="bicubic")[0]
    seen = []

    def segment(views_V3HW):
        views = current_views(len(views_V3HW))
        assert torch.equal(views.image_13HW[0], image)
        for view_3HW, place in zip(views_V3HW, views.places, strict=True):
            align = options.get("mode") == "multi_scale"
            canvas = F.interpolate(image[None], place.canvas, mode="bilinear", align_corners=align)
            size = (view_3HW.shape[1], view_3HW.shape[2])
            found = sample_view(canvas, place, size)[0]
            rows, columns = (max(0, p) for p in (place.canvas[0] - place.top,
                                                 place.canvas[1] - place.left))  # fmt: skip
            found = found.flip(2) if place.mirrored else found
            view_3HW = view_3HW.flip(2) if place.mirrored else view_3HW
            inside = (slice(None), slice(0, rows), slice(0, columns))
            torch.testing.assert_close(found[inside], view_3HW[inside], atol=0.6, rtol=0)
            seen.append(place)
        dense = views_V3HW.new_ones(len(views_V3HW), 3, 2, 2)
        masks = Masks(dense[:, :2], Selection.everything(len(dense), 2))
        return ImageFeatures(dense, dense[:, :, 0, 0]), masks

    config = InferenceConfig(**options, views_per_batch=2)
    merged_scores(image, TEXT, segment, config)
    assert current_views(1) is None
    assert (
        len(seen) == {"whole": 1, "slide": 2 + config.global_view, "multi_scale": 10}[config.mode]
    )


def test_maps_are_cut_padded_and_mirrored():
    region = torch.arange(12).view(3, 4)
    place = ViewPlace((6, 8), 2, 4, 6, 4)
    rows = view_of(region, place, -1)
    assert rows.tolist() == [[6, 6, 7, 7]] * 2 + [[10, 10, 11, 11]] * 2 + [[-1] * 4] * 2
    mirrored = view_of(region, ViewPlace((6, 8), 2, 4, 6, 4, mirrored=True), -1)
    assert torch.equal(mirrored, rows.flip(1))


@pytest.mark.parametrize("size", [(7, 3), (28, 41), (14, 14)])
def test_nearest_equals_pytorch(size):
    region = torch.arange(14 * 21).view(14, 21)
    expected = F.interpolate(region[None, None].float(), size, mode="nearest")[0, 0]
    assert torch.equal(nearest(region, size), expected.long())


def test_sampling_the_whole_canvas_is_resizing():
    features = torch.rand(1, 5, 6, 9)
    found = sample_view(features, ViewPlace.whole((60, 90)), (12, 18))
    expected = F.interpolate(features, (12, 18), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected)


def test_results_are_computed_once_for_an_image():
    calls = []
    views = CurrentViews(torch.zeros(1, 3, 4, 4), (ViewPlace.whole((4, 4)),) * 3)
    for part in (slice(0, 2), slice(2, 4)):
        with stated_views(views.part(part)):
            now = current_views(2 if part.start == 0 else 1)
            assert now.once("key", lambda: calls.append(1) or len(calls)) == 1
    assert current_views(3) is None

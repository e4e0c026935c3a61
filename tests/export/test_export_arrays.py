"""The numpy side of an exported model against torch: resizing, regions, windows and labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ovss.export import arrays
from ovss.export.arrays import Maps, Regions, labels_at, resize_matrix, resized
from ovss.export.description import RegionLayout
from ovss.export.merge import View, canvas_of, merged_windows
from ovss.inference import InferenceConfig, label_map, merged_scores
from ovss.layers.region_maps import region_maps
from ovss.ops import resize
from ovss.structures import (
    ImageFeatures,
    Masks,
    Padding,
    RegionMasks,
    Scores,
    Selection,
    TextFeatures,
)


@pytest.mark.parametrize("size", [(7, 5), (3, 9), (24, 31), (1, 1), (11, 4)])
def test_resizing_is_that_of_torch(size):
    x_Nhw = np.random.default_rng(0).standard_normal((3, 11, 4)).astype(np.float32)
    expected = resize(torch.from_numpy(x_Nhw)[None], size)[0].numpy()
    np.testing.assert_allclose(resized(x_Nhw, size), expected, atol=1e-5)
    rows, columns = (resize_matrix(old, new) for old, new in zip((11, 4), size))
    np.testing.assert_allclose(rows @ x_Nhw @ columns.T, expected, atol=1e-5)


@pytest.mark.parametrize("kept", [1, 3, 200])
@pytest.mark.parametrize("size", [(50, 131), (6, 8), (3, 4)])
def test_labels_are_those_of_torch(kept, size):
    generator = torch.Generator().manual_seed(kept)
    probs_BKHW = torch.rand(1, kept, 6, 8, generator=generator)
    selection = Selection.top_k(torch.rand(1, 300, generator=generator), kept)
    scores = Scores(probs_BKHW, selection, None, TextFeatures(torch.ones(300, 1, 2)), None)
    labels_HW, best_HW = labels_at(Maps(probs_BKHW[0].numpy(), selection.index_BK[0].numpy()), size)
    assert (labels_HW == label_map(scores, size)[0].numpy()).all()
    full_KHW = resize(probs_BKHW, size)[0].numpy()
    np.testing.assert_allclose(best_HW, full_KHW.max(0), atol=1e-6)


def test_equal_scores_go_to_the_lower_index():
    labels_HW, _ = labels_at(Maps(np.ones((3, 2, 2), np.float32), np.array([4, 7, 9])), (5, 5))
    assert (labels_HW == 4).all()


@pytest.mark.parametrize("ownership", ["sigmoid", "softmax", "hard"])
@pytest.mark.parametrize("at_input", [False, True])
@pytest.mark.parametrize("padding", [None, Padding((32, 40), (30, 26))])
def test_region_maps_are_those_of_torch(ownership, at_input, padding, monkeypatch):
    monkeypatch.setattr(arrays, "_VALUES", 500)  # several bands
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(1, 4, 6, generator=generator)
    mask = torch.randn(1, 6, 8, 10, generator=generator)
    selection = Selection.everything(1, 4)
    masks = RegionMasks(share, mask, selection, padding, at_input, ownership)
    layout = RegionLayout(
        padding and padding.padded, padding and padding.image, at_input, ownership
    )
    regions = Regions(share[0].numpy(), mask[0].numpy(), np.arange(4), layout)
    for size in ((30, 26), (17, 45)):
        expected = region_maps(masks, size)[0].numpy()
        np.testing.assert_allclose(regions.maps(size).values_KYX, expected, atol=2e-5)
        labels_HW, best_HW = labels_at(regions, size)
        np.testing.assert_allclose(best_HW, expected.max(0), atol=2e-5)
        assert (labels_HW == expected.argmax(0)).mean() > 0.99


SLIDES = {
    "probs and a global view": {},
    "probs": {"global_view": False},
    "logits": {"merge": "logits", "global_view": False},
    "logits with softmax": {"merge": "logits", "global_view": False, "activation": "softmax"},
    "aspect ratio": {"keep_ratio": True, "global_view": False},
}


@pytest.mark.parametrize("options", SLIDES.values(), ids=SLIDES.keys())
def test_windows_are_merged_as_in_torch(options):
    config = InferenceConfig(mode="slide", size=40, window=24, stride=9, **options)
    image_HW3 = np.random.default_rng(3).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    text = TextFeatures(torch.ones(9, 1, 2))

    def segment(views_V3HW: torch.Tensor) -> tuple[ImageFeatures, Masks]:
        """Keeps three of nine categories, by the colours of the view."""
        color_V3 = views_V3HW.mean((2, 3))
        scores_VT = torch.sin(color_V3 @ torch.arange(27.0).view(3, 9))
        selection = Selection.top_k(scores_VT, 3)
        small = resize(views_V3HW, (6, 6)) / 128 - 1
        logits = small * (selection.index_BK[..., None, None] + 1)
        features = ImageFeatures(
            views_V3HW.new_zeros(len(views_V3HW), 2, 1, 1), views_V3HW.new_zeros(len(views_V3HW), 2)
        )
        return features, Masks(logits, selection)

    expected = merged_scores(torch.from_numpy(image_HW3).permute(2, 0, 1), text, segment, config)

    def view(view_3HW: np.ndarray) -> View:
        _, masks = segment(torch.from_numpy(view_3HW)[None])
        logits = resize(masks.logits_BKHW, (24, 24))
        maps = logits if config.merge == "logits" else logits.sigmoid()
        return View(Maps(maps[0].numpy(), masks.selection.index_BK[0].numpy()))

    found = merged_windows(image_HW3, canvas_of(image_HW3, config), config, view).scores
    assert isinstance(found, Maps)
    assert found.index_K.tolist() == expected.selection.index_BK[0].tolist()
    np.testing.assert_allclose(found.values_KYX, expected.probs_BKHW[0].numpy(), atol=2e-5)

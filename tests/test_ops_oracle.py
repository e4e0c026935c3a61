"""Shared tensor functions, the plain head and the plain decoder against loops over numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ovss.decoders import UpsampleDecoder
from ovss.heads import CosineHead
from ovss.ops import cosine_volume, max_cosine, region_pool, resize
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


def cosine(a, b) -> float:
    a, b = [float(x) for x in a], [float(x) for x in b]
    return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def bilinear(map_hw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resizing by pixel centres, one output pixel at a time."""
    out = np.empty(size)
    for y in range(size[0]):
        for x in range(size[1]):
            value = 0.0
            places = []
            for position, new, old in (
                (y, size[0], map_hw.shape[0]),
                (x, size[1], map_hw.shape[1]),
            ):
                centre = max((position + 0.5) * old / new - 0.5, 0.0)
                low = min(int(centre), old - 1)
                places.append((low, min(low + 1, old - 1), centre - low))
            (top, bottom, down), (left, right, across) = places
            for row, weight in ((top, 1 - down), (bottom, down)):
                for column, share in ((left, 1 - across), (right, across)):
                    value += weight * share * map_hw[row, column]
            out[y, x] = value
    return out


@pytest.fixture
def volume():
    """Image features that are not normalised, and normalised text of several templates."""
    dense_BChw = torch.randn(2, 5, 3, 4) * torch.rand(2, 1, 3, 4) * 9
    text_TPC = torch.nn.functional.normalize(torch.randn(6, 3, 5), dim=2)
    return dense_BChw, text_TPC


def test_every_cosine(volume):
    dense_BChw, text_TPC = volume
    found = cosine_volume(dense_BChw, text_TPC.expand(2, -1, -1, -1))
    assert found.shape == (2, 6, 3, 3, 4)
    for place in np.ndindex(*found.shape):
        b, t, p, y, x = place
        expected = cosine(dense_BChw[b, :, y, x], text_TPC[t, p])
        assert float(found[place]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_the_best_cosine_of_each_category(volume, chunk):
    dense_BChw, text_TPC = volume
    found = max_cosine(dense_BChw, text_TPC, chunk)
    for b, t in np.ndindex(2, 6):
        cells = dense_BChw[b].flatten(1).T
        expected = max(cosine(cell, row) for cell in cells for row in text_TPC[t])
        assert float(found[b, t]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(7, 4), (3, 9), (2, 2), (5, 5)])
def test_resizing_is_bilinear_between_pixel_centres(size):
    maps = torch.randn(1, 2, 5, 6)
    found = resize(maps, size)[0].numpy()
    for channel in range(2):
        expected = bilinear(maps[0, channel].numpy(), size)
        np.testing.assert_allclose(found[channel], expected, atol=1e-5)


def test_the_mean_of_an_area_is_weighted_by_its_share_of_each_cell():
    dense_BChw = torch.randn(1, 3, 2, 2)
    masks = torch.zeros(1, 2, 4, 4)
    masks[0, 0, 0, 0] = 1  # a quarter of the first cell, and nothing else
    masks[0, 1, 1:3, :] = 1  # half of every cell
    found = region_pool(dense_BChw, masks)[0]
    torch.testing.assert_close(found[0], dense_BChw[0, :, 0, 0])
    torch.testing.assert_close(found[1], dense_BChw[0].mean((1, 2)))
    assert region_pool(dense_BChw, masks * 0).abs().max() == 0


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_plain_head_compares_with_each_template_or_with_their_mean(volume, ensemble):
    dense_BChw, text_TPC = volume
    image, text = ImageFeatures(dense_BChw, torch.randn(2, 5)), TextFeatures(text_TPC)
    selection = Selection.from_mask(torch.tensor([[0, 1, 0, 0, 1, 1], [1, 0, 0, 0, 0, 1]]).bool())
    head = CosineHead(1 if ensemble else 3, ensemble)
    found = head(image, text, selection).cost_BKDhw
    for b, k in np.ndindex(2, 3):
        if not selection.valid_BK[b, k]:
            continue
        rows = text_TPC[int(selection.index_BK[b, k])]
        rows = rows.mean(0, keepdim=True) if ensemble else rows
        for d, row in enumerate(rows):
            for y, x in np.ndindex(3, 4):
                expected = cosine(dense_BChw[b, :, y, x], row)
                assert float(found[b, k, d, y, x]) == pytest.approx(expected, abs=1e-5)


def test_the_plain_decoder_averages_channels_scales_and_enlarges(volume):
    dense_BChw, text_TPC = volume
    image, text = ImageFeatures(dense_BChw, torch.randn(2, 5)), TextFeatures(text_TPC)
    cost_BKDhw = torch.randn(2, 6, 3, 3, 4)
    aligned = Alignment(cost_BKDhw, image, text, Selection.everything(2, 6))
    masks = UpsampleDecoder(scale=40.0, factor=2)(aligned)
    assert masks.logits_BKHW.shape == (2, 6, 6, 8)
    for b, k in ((0, 0), (1, 5)):
        mean = cost_BKDhw[b, k].numpy().sum(0) / 3
        expected = 40 * bilinear(mean, (6, 8))
        np.testing.assert_allclose(masks.logits_BKHW[b, k].numpy(), expected, atol=1e-4)

"""Superpixels of scikit-image as regions."""

from __future__ import annotations

import pytest
import torch
from composed import region_method

from ovss.proposers import SuperpixelProposer
from ovss.testing import LAWS
from ovss.testing.tiny import make_images

pytest.importorskip("skimage")


def test_superpixels_divide_the_image_along_colours():
    model = region_method(dict(type="SuperpixelProposer", regions=4, longest=None))
    image = torch.full((1, 3, 40, 40), 20.0)
    image[:, 0, :, 17:] = 220.0
    found = model.encoder.encode_image(image).proposals
    inside = found.mask_BQhw[0] > 0
    assert (inside.sum(0) == 1).all()
    for mask in inside:
        assert len(image[0, 0][mask].unique()) == 1


def test_the_longer_side_is_bounded():
    model = SuperpixelProposer(regions=5, longest=20)
    tiny = region_method(dict(type="SuperpixelProposer")).encoder.encoder
    image = make_images(1, 60)[..., :30]
    assert model(tiny.encode_image(image), image).mask_BQhw.shape[2:] == (20, 10)


def test_laws():
    for law in LAWS:
        law(region_method(dict(type="SuperpixelProposer", regions=8)))


def test_costs_are_planned_without_pixels():
    with torch.device("meta"):
        model = region_method(dict(type="SuperpixelProposer", regions=7))
        found = model.encoder.encode_image(torch.empty(1, 3, 64, 64)).proposals
    assert found.mask_BQhw.shape == (1, 7, 64, 64)
    assert found.mask_BQhw.device.type == "meta"

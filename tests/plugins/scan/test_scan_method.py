"""SCAN's head and decoder obey the laws of every method."""

from __future__ import annotations

import pytest

from ovss.models.configs import load_config
from ovss.testing import LAWS, with_tiny_encoder


@pytest.fixture(scope="module")
def model():
    return with_tiny_encoder(load_config("scan_vit-b16"))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(model, law):
    law(model)

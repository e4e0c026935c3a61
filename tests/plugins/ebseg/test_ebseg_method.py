"""EBSeg's head and decoder obey the laws of every method."""

from __future__ import annotations

import pytest

from ovss.models.configs import load_config
from ovss.testing import LAWS, with_tiny_encoder


@pytest.fixture(scope="module")
def model():
    return with_tiny_encoder(load_config("ebseg_vit-b16", {"model.head.seen": ["thing 1"]}))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(model, law):
    law(model)

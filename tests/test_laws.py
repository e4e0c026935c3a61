"""Every method that ships obeys every law; a new config is covered by being there."""

from __future__ import annotations

import pytest

from ovss.models import list_configs, load_config
from ovss.testing import LAWS, with_tiny_encoder

MINI = sorted(name for name in list_configs() if "mini" in name)


@pytest.fixture(scope="module")
def models():
    return {}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", MINI)
def test_law(name, law, models):
    if name not in models:
        models[name] = with_tiny_encoder(load_config(name))
    law(models[name])


def test_there_are_compositions_to_test():
    assert len(MINI) >= 2

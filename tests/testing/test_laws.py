"""Every method that ships obeys every law and survives saving; a new config is covered, too."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from ovss.decoders import UpsampleDecoder
from ovss.models.configs import load_config, shipped_configs
from ovss.structures import Masks
from ovss.testing import LAWS, check_method, check_plugin, check_saving, with_tiny_encoder

MINI = sorted(name for name in shipped_configs() if "mini" in name)


@pytest.fixture(scope="module")
def model_of():
    """Each model is built once, and dropped after this file."""
    return cache(lambda name: with_tiny_encoder(load_config(name)))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", MINI)
def test_law(name, law, model_of):
    law(model_of(name))


@pytest.mark.parametrize("name", MINI)
def test_saving(name, model_of):
    check_saving(model_of(name), load_config(name))


def test_there_are_compositions_to_test():
    assert len(MINI) >= 2


def leaky(self, aligned):
    """Every image is lifted by the mean of the batch."""
    logits_BKHW = aligned.cost_BKDhw.mean(2)
    return Masks(logits_BKHW - logits_BKHW.mean(0), aligned.selection)


def drawn(self, aligned):
    """Multiplied by a number that was drawn once and that the state lacks."""
    if not hasattr(self, "drawn"):
        self.drawn = float(torch.rand(()) + 1)
    return Masks(aligned.cost_BKDhw.mean(2) * self.drawn, aligned.selection)


@pytest.mark.parametrize(
    ("forward", "failure"),
    [
        (leaky, "batch_mates_do_not_talk fails in the decoder UpsampleDecoder: logits of image 0"),
        (
            drawn,
            "a_saved_model_is_the_same fails in the decoder UpsampleDecoder: "
            "logits differ before and after saving",
        ),
    ],
)
def test_the_suite_names_the_method_and_the_law(monkeypatch, forward, failure):
    monkeypatch.setattr(UpsampleDecoder, "forward", forward)
    with pytest.raises(AssertionError, match=f"maskclip_mini: {failure}"):
        check_method("maskclip_mini")


def test_a_package_that_brings_nothing_fails_the_suite():
    with pytest.raises(AssertionError, match="importing json registers no component"):
        check_plugin("json")

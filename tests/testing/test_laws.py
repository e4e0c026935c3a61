"""Every method that ships obeys every law and survives saving; a new config is covered, too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ovss.models.configs import load_config, shipped_configs
from ovss.testing import LAWS, check_method, check_plugin, check_saving, with_tiny_encoder

MINI = sorted(name for name in shipped_configs() if "mini" in name)


@pytest.fixture(scope="module")
def models():
    return {}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", MINI)
def test_law(name, law, models):
    if name not in models:
        models[name] = with_tiny_encoder(load_config(name))
    law(models[name])


@pytest.mark.parametrize("name", MINI)
def test_saving(name):
    check_saving(with_tiny_encoder(load_config(name)), load_config(name))


def test_the_suite_names_what_a_saved_model_lacks(monkeypatch):
    from ovss.decoders import UpsampleDecoder

    forward = UpsampleDecoder.forward

    def drawn(self, aligned):
        """Multiplied by a number that was drawn once and that the state lacks."""
        if not hasattr(self, "drawn"):
            self.drawn = float(torch.rand(()) + 1)
        masks = forward(self, aligned)
        return replace(masks, logits_BKHW=masks.logits_BKHW * self.drawn)

    monkeypatch.setattr(UpsampleDecoder, "forward", drawn)
    with pytest.raises(
        AssertionError,
        match="maskclip_mini: a_saved_model_is_the_same fails in the decoder UpsampleDecoder: "
        "logits differ before and after saving",
    ):
        check_method("maskclip_mini")


def test_there_are_compositions_to_test():
    assert len(MINI) >= 2


def test_the_suite_names_the_method_and_the_law(monkeypatch):
    from ovss.decoders import UpsampleDecoder
    from ovss.structures import Masks

    def leaky(self, aligned):
        """Every image is lifted by the mean of the batch."""
        logits_BKHW = aligned.cost_BKDhw.mean(2)
        return Masks(logits_BKHW - logits_BKHW.mean(0), aligned.selection)

    monkeypatch.setattr(UpsampleDecoder, "forward", leaky)
    with pytest.raises(
        AssertionError,
        match="maskclip_mini: batch_mates_do_not_talk fails in the decoder UpsampleDecoder: "
        "logits of image 0",
    ):
        check_method("maskclip_mini")


def test_a_package_that_brings_nothing_fails_the_suite():
    with pytest.raises(AssertionError, match="importing json registers no component"):
        check_plugin("json")

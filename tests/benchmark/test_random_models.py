"""Measurements of speed and memory load no weights of any part of an encoder."""

from __future__ import annotations

import pytest

from ovss.benchmark import arguments
from ovss.models.parts import external_options


@pytest.mark.parametrize("name", ["san_vit-b16", "fc_clip_convnext-b", "ovseg_swin-b"])
def test_no_part_of_an_encoder_names_weights(name, monkeypatch):
    built = []
    monkeypatch.setattr(arguments, "build_segmentor", lambda config, **_: built.append(config))
    arguments.random_model(name, None, "cpu")
    assert list(external_options(built[0].model.encoder, "encoder")) == []

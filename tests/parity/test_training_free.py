"""Seven training-free ways to dense tokens against what their authors' code computes.

The authors' modules ran on weights and images that follow from a formula; their outputs are in
``data/``. At 336 pixels the positions are resized, by another rule in GEM and CLIP Surgery.
"""

from __future__ import annotations

import pytest
import torch
from clip_case import clip_encoder, cosines
from official_case import case_images, read_case

from ovss.encoders.dense import dense_mode
from ovss.models.configs import load_config

CASES = {size: read_case(f"training_free_{size}") for size in (224, 336)}
WAYS = ("naclip", "sclip", "clearclip", "vanilla", "maskclip", "gem", "clip_surgery")

pytestmark = pytest.mark.slow  # 14 times 86 million parameters on a CPU


@pytest.fixture(scope="module")
def encoder():
    return clip_encoder(CASES[224][0], options("sclip"))


def options(way: str) -> dict:
    """Arguments of the encoder in the config of a method."""
    if way == "vanilla":
        return {**options("maskclip"), "dense": "vanilla"}
    return load_config(f"{way}_vit-b16").model.encoder.to_dict()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", CASES)
def test_dense_tokens(encoder, way, size):
    case, expected = CASES[size]
    step = case["subsample"]
    config = options(way)
    encoder.dense, encoder.positions = dense_mode(config["dense"], 12), config["positions"]
    with torch.inference_mode():
        dense = encoder.encode_image(case_images(case)[0][None]).dense_BChw
    found = {
        way: dense[0, :: step["channel"], :: step["cell"], :: step["cell"]],
        f"{way}_cosines": cosines(dense, expected[f"{way}_text_rows"])[
            :, :: step["cosine"], :: step["cosine"]
        ],
    }
    for (name, tensor), tolerance in zip(found.items(), (5e-5, 2e-6), strict=True):
        print(f"{size} {name}: {(tensor - expected[name]).abs().max():.2g}")  # pytest -s
        torch.testing.assert_close(tensor, expected[name], atol=tolerance, rtol=0)

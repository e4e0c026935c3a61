"""SC-CLIP ViT-B/16 against what its authors' code computes, one window and a sliding run.

The authors' modules ran on weights and images that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

import pytest
import torch
from clip_case import clip_encoder, cosines
from official_case import case_images, read_case
from plain_cat_seg import formula_image
from torch import Tensor

from ovss import inference
from ovss.encoders import dense_calibrated
from ovss.inference import views as merging
from ovss.models.configs import load_config
from ovss.postprocessors import Background
from ovss.registry import DECODERS, HEADS
from ovss.structures import Selection, TextFeatures, Vocabulary

CASE, EXPECTED = read_case("sc_clip_vit-b16")
SLIDING = CASE["sliding"]

pytestmark = pytest.mark.slow  # 86 million parameters on a CPU, seven windows


def close(found: Tensor, name: str, tolerance: float) -> None:
    print(f"{name}: {(found - EXPECTED[name]).abs().max():.2g}")  # shown by pytest -s
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def config():
    return load_config("sc_clip_vit-b16").model.to_dict()


@pytest.fixture(scope="module")
def encoder(config):
    return clip_encoder(CASE, config["encoder"])


def test_one_window(encoder, monkeypatch):
    inner: dict[str, list[Tensor]] = {"outlier_factor": [], "similar_cells": []}

    def recorded(name):
        original = getattr(dense_calibrated, name)

        def call(*arguments):
            inner[name].append(original(*arguments))
            return inner[name][-1]

        return call

    for name in inner:
        monkeypatch.setattr(dense_calibrated, name, recorded(name))
    with torch.inference_mode():
        dense = encoder.encode_image(case_images(CASE)[0][None]).dense_BChw
    (factor_1N,), (early_1NN, same_1NN) = inner.values()
    close(factor_1N[0], "lof", 1e-5)
    outliers = factor_1N[0] > factor_1N[0].quantile(0.95)
    assert outliers.nonzero()[:, 0].tolist() == EXPECTED["outliers"].tolist()
    close(early_1NN[0, ::14], "affinity4", 5e-6)
    close(same_1NN[0, ::14], "affinity9", 5e-6)
    close(dense[0, ::2, ::2, ::2], "dense_features", 5e-5)
    close(cosines(dense, EXPECTED["text_rows"]), "cosines", 2e-6)


def test_windows_of_an_image(encoder, config, monkeypatch):
    """The canvas is given, and stands for an image of another size."""
    canvas = formula_image(SLIDING["height"], SLIDING["width"], SLIDING["seed"]).float()[None]
    names = ("a, b, c", "d, e", "f", "g", "h", "i")
    vocabulary = Vocabulary(names, synonyms="max").queries()
    assert list(vocabulary.owners) == CASE["query_class"]
    text = TextFeatures(EXPECTED["text_rows"][:, None], vocabulary=vocabulary)
    size = tuple(SLIDING["original_size"])
    head = HEADS.build(config["head"])
    decoder = DECODERS.build({**config["decoder"], "scale": SLIDING["logit_scale"]})
    resize, activate, logits = merging.resize, merging.activate, []

    def given(x, new):
        return canvas if x.shape[1:] == (3, *size) else resize(x, new)

    def recorded(maps, *arguments):
        logits.append(maps)
        return activate(maps, *arguments)

    monkeypatch.setattr(merging, "resize", given)
    monkeypatch.setattr(merging, "activate", recorded)

    def segment(views):
        image = encoder.encode_image(views)
        aligned = head(image, text, Selection.everything(len(views), len(text.embeds_TPC)))
        return image, decoder(aligned)

    options = inference.InferenceConfig(**config["inference"], activate_at="image")
    with torch.inference_mode():
        scores = inference.merged_scores(torch.zeros(3, *size), text, segment, options)
        labelled = Background("a", threshold=SLIDING["prob_thd"])(scores)
    close(logits[0][0, :, ::16, ::16] / SLIDING["logit_scale"], "sliding_cosines", 2e-6)
    probs = scores.probs_BKHW[0]
    owner = torch.tensor(CASE["query_class"])
    merged = torch.stack([probs[owner == index].amax(0) for index in range(len(names))])
    close(merged[:, ::16, ::16], "sliding_prob", 1e-4)
    labels = text.categories(inference.label_map(labelled, size))[0, ::2, ::2]
    assert torch.equal(labels, EXPECTED["sliding_argmax"].long())

"""SED ConvNeXt-B, through the converter, against what the authors' code computes.

The authors' modules ran on weights and an image that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_cat_seg import formula_image, formula_weights
from plain_sed import published_state, rejected
from torch import Tensor

from ovss.models.build import build_segmentor
from ovss.models.checkpoint import file_sha256, read_weights
from ovss.models.configs import load_config
from ovss.models.conversion import Conversion, convert_file
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Masks, TextFeatures

DATA = Path(__file__).parent / "data"
CASE = json.loads((DATA / "sed_convnext-b.json").read_text())
STEP = CASE["subsample"]
SIDES = ("logits192", "logits24", "logits48", "logits96")

pytestmark = pytest.mark.slow  # 1,920 prompts and 181 million parameters on a CPU


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(DATA / "sed_convnext-b.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def conversion(tmp_path_factory) -> tuple[Path, Conversion]:
    folder = tmp_path_factory.mktemp("sed")
    published = formula_weights(CASE["state_dict"])
    torch.save({"model": published, "iteration": 79999}, folder / "model_final.pth")
    target = folder / "sed.safetensors"
    return target, convert_file("sed", folder / "model_final.pth", target)


@pytest.fixture(scope="module")
def model(conversion) -> OpenVocabSegmentor:
    overrides = {"model.encoder.pretrained": None, "model.decoder.pool": (1, 1)}
    return build_segmentor(load_config("sed_convnext-b", overrides), weights=conversion[0])


@pytest.fixture(scope="module")
def text(model) -> TextFeatures:
    return model.encode_vocabulary(tuple(CASE["names"]))


@pytest.fixture(scope="module")
def image(model) -> ImageFeatures:
    pixels = formula_image(CASE["image"]["h"], CASE["image"]["w"], CASE["image"]["seed"])
    with torch.inference_mode():
        return model.encoder.encode_image(resize(pixels[None].float(), (768, 768)))


@pytest.fixture(scope="module")
def full(model, image, text) -> Masks:
    """Without rejection; its auxiliary outputs are there in training mode only."""
    with torch.inference_mode():
        model.decoder.train()
        masks = model.segment(image, text)
        model.decoder.eval()
    return masks


def segment(model, image, text, top_k: int | None) -> Masks:
    model.decoder.top_k = top_k
    try:
        with torch.inference_mode():
            return model.segment(image, text)
    finally:
        model.decoder.top_k = None


def test_every_published_name_is_mapped(conversion):
    target, found = conversion
    assert len(set(found.source.values())) == len(CASE["state_dict"]) == 608
    assert set(found.source.values()) == set(CASE["state_dict"])
    assert not found.dropped
    metadata = read_weights(target)[1]
    assert metadata["method"] == "sed"
    assert metadata["source_sha256"] == file_sha256(target.parent / "model_final.pth")


def test_dense_tokens_and_words(image, text, expected):
    step = STEP["dense_features"]
    dense = image.dense_BChw[0, :, ::step, ::step]
    torch.testing.assert_close(dense, expected["dense_features"], atol=1e-3, rtol=0)
    torch.testing.assert_close(text.mean_TC, expected["text"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("index", range(4), ids=SIDES)
def test_all_four_outputs(full, expected, index):
    name = SIDES[index]
    output = (full.logits_BKHW, *full.aux)[index][0]
    step = STEP[name]
    torch.testing.assert_close(output[:, ::step, ::step], expected[name], atol=1e-4, rtol=0)


def test_rejection_by_the_published_k(model, image, text, full, expected):
    masks = segment(model, image, text, CASE["topk"])
    assert torch.equal(masks.selection.mask()[0], expected["kept"])
    probs = masks.selection.scatter(masks.logits_BKHW.sigmoid())[0]
    step = STEP["rejected_prob"]
    found = probs[:, ::step, ::step]
    torch.testing.assert_close(found, expected["rejected_prob"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("top_k", [24, 23])
def test_rejecting_nobody_is_the_full_path_exactly(model, image, text, full, top_k):
    """With 24 of 24 nothing is asked; with 23 every head is, and nobody happens to leave."""
    masks = segment(model, image, text, top_k)
    assert masks.selection.mask().all()
    assert torch.equal(masks.logits_BKHW, full.logits_BKHW)


def test_rejection_that_rejects_is_the_authors_too(model, image, text):
    """Words opposite to most of the image: they leave at the first head or later."""
    opposite = TextFeatures(torch.cat([text.embeds_TPC, -text.embeds_TPC]))
    masks = segment(model, image, opposite, 1)
    levels = list(reversed(image.levels))
    with torch.inference_mode():
        probs, history = rejected(
            published_state(model.state_dict()), image.dense_BChw, levels, opposite.embeds_TPC, 1
        )
    assert masks.selection.category_N.tolist() == history[-1]
    assert len(history[-1]) < 48
    found = masks.selection.scatter(masks.logits_BKHW.sigmoid())[0]
    torch.testing.assert_close(found, probs, atol=1e-4, rtol=0)

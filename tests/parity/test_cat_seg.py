"""CAT-Seg ViT-B/16, through the converter, against what the authors' code computes.

The authors' modules ran on weights and an image that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_cat_seg import formula_image, formula_weights, predict
from plain_clip import dense_features
from torch import Tensor

from ovss.models.build import build_segmentor
from ovss.models.checkpoint import file_sha256, read_weights
from ovss.models.configs import load_config
from ovss.models.conversion import Conversion, convert_file
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, TextFeatures

DATA = Path(__file__).parent / "data"
CASE = json.loads((DATA / "cat_seg_vit-b16.json").read_text())


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(DATA / "cat_seg_vit-b16.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def conversion(tmp_path_factory) -> tuple[Path, Conversion]:
    folder = tmp_path_factory.mktemp("cat_seg")
    published = formula_weights(CASE["state_dict"])
    for layer in range(2):
        name = f"sem_seg_head.predictor.transformer.layers.{layer}.swin_block.block_2.attn_mask"
        published[name] = torch.zeros(4, 144, 144)
    torch.save({"model": published, "iteration": 79999}, folder / "model_final.pth")
    target = folder / "cat_seg.safetensors"
    return target, convert_file("cat_seg", folder / "model_final.pth", target)


@pytest.fixture(scope="module")
def model(conversion) -> OpenVocabSegmentor:
    config = load_config("cat_seg_vit-b16", {"model.encoder.pretrained": None})
    return build_segmentor(config, weights=conversion[0])


@pytest.fixture(scope="module")
def text(model) -> TextFeatures:
    return model.encode_vocabulary(tuple(CASE["names"]))


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return formula_image(CASE["image"]["h"], CASE["image"]["w"], CASE["image"]["seed"])


@pytest.fixture(scope="module")
def image(model, pixels) -> ImageFeatures:
    """Of a batch: the image, and another one that must not matter."""
    other = formula_image(*pixels.shape[1:], seed=5)
    with torch.inference_mode():
        return model.encoder.encode_image(resize(torch.stack([pixels, other]).float(), (384, 384)))


def test_every_published_name_is_mapped_and_the_masks_dropped(conversion):
    target, found = conversion
    assert len(found.tensors) == len(CASE["state_dict"]) == 482
    assert sorted(found.source.values()) == sorted(CASE["state_dict"])
    assert len(found.dropped) == 2
    assert all(name.endswith("attn_mask") for name in found.dropped)
    metadata = read_weights(target)[1]
    assert metadata["method"] == "cat_seg"
    assert metadata["source_sha256"] == file_sha256(target.parent / "model_final.pth")


def test_features_and_cost(model, image, text, expected):
    step = CASE["subsample"]["dense_features"]
    dense = image.dense_BChw[0, :, ::step, ::step]
    torch.testing.assert_close(dense, expected["dense_features"], atol=1e-3, rtol=0)
    with torch.inference_mode():
        aligned = model.head(image, text, model.selector(image, text))
    cost = aligned.cost_BKDhw[0, :, 0]
    torch.testing.assert_close(cost, expected["cost"], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_logits_alone_and_in_a_batch(model, image, text, expected):
    batch = model.segment(image, text).logits_BKHW
    torch.testing.assert_close(batch[0], expected["logits"], atol=1e-4, rtol=0)
    first = ImageFeatures(
        image.dense_BChw[:1], image.pooled_BC[:1], tuple(level[:1] for level in image.levels)
    )
    alone = model.segment(first, text).logits_BKHW
    torch.testing.assert_close(batch[:1], alone, atol=1e-5, rtol=0)
    assert (batch[1] - batch[0]).abs().max() > 0.1


@torch.inference_mode()
def test_sliding_probabilities_and_labels(model, pixels, text, expected):
    scores = model.scores(pixels, text)
    probs = resize(scores.probs_BTHW(), tuple(pixels.shape[1:]))[0]
    step = CASE["subsample"]["sliding_prob"]
    torch.testing.assert_close(
        probs[:, ::step, ::step], expected["sliding_prob"], atol=1e-4, rtol=0
    )
    labels = model.label_map(scores, tuple(pixels.shape[1:]))
    differs = labels != expected["sliding_argmax"]
    best_two = probs.topk(2, dim=0).values
    tie = best_two[0] - best_two[1] < 1e-4
    assert not (differs & ~tie).any()


@torch.inference_mode()
def test_the_plain_tower_computes_the_official_features(model, pixels, expected):
    """It is what the speed of the encoder is compared with, so it has to be the same function."""
    encoder = model.encoder
    tower = encoder.clip.visual.state_dict()
    views = resize(pixels[None].float(), (384, 384))
    pixels = (views - encoder.mean_311) / encoder.std_311
    dense, levels = dense_features(tower, pixels, 12, encoder.levels)
    step = CASE["subsample"]["dense_features"]
    torch.testing.assert_close(
        dense[0, :, ::step, ::step], expected["dense_features"], atol=1e-3, rtol=0
    )
    for plain, level in zip(levels, encoder.encode_image(views).levels, strict=True):
        torch.testing.assert_close(plain, level, atol=1e-3, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_the_plain_path_gives_the_official_labels(model, pixels, text, expected):
    differs = predict(model, pixels, text) != expected["sliding_argmax"]
    assert differs.float().mean() < 1e-3

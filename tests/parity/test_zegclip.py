"""ZegCLIP ViT-B/16, through the converter, against what the authors' code computes.

The authors' modules ran on weights and an image that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from official_case import case_images, case_text, official_weights, read_case
from ovss_plugins.zegclip.convert import convert
from torch import Tensor

from ovss.inference import score_blocks
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.structures import Alignment, Selection, TextFeatures

CASE, EXPECTED = read_case("zegclip_vit-b16")
SIDE = CASE["img_size"]

pytestmark = pytest.mark.slow  # 158 million parameters on a CPU


@pytest.fixture(scope="module")
def model():
    config = load_config("zegclip_vit-b16_voc").model.to_dict()
    config["encoder"] = {**without_pretrained(config["encoder"]), "text_cache": "off"}
    config["post_processor"]["seen"] = [CASE["names"][i] for i in CASE["seen"]]
    model = build_model(config).eval()
    conversion = convert(official_weights(CASE))
    assert len(set(conversion.source.values())) + len(conversion.dropped) == 376
    model.load_state_dict(conversion.tensors)
    return model


@pytest.fixture(scope="module")
def crop() -> Tensor:
    return case_images(CASE)[0][None, :, :SIDE, :SIDE]


@pytest.fixture(scope="module")
def features(model, crop):
    with torch.inference_mode():
        return model.encoder.encode_image(crop)


@pytest.fixture(scope="module")
def aligned(model, features) -> Alignment:
    with torch.inference_mode():
        return model.head(features, case_text(CASE, 512), Selection.everything(1, 20))


def close(found: Tensor, name: str, tolerance: float) -> None:
    print(f"{name}: {(found - EXPECTED[name]).abs().max():.2g}")  # shown by pytest -s
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


def test_features(features):
    dense_BChw = F.normalize(features.dense_BChw, dim=1)
    close(dense_BChw[0, ::8, ::4, ::4], "dense", 1e-6)
    close(F.normalize(features.pooled_BC, dim=1)[0], "cls", 1e-6)


def test_queries_and_masks(model, features, aligned):
    head, text = model.head, case_text(CASE, 512)
    with torch.inference_mode():
        queries = head.queries(features.pooled_BC, text.embeds_TPC[None, :, 0])
        close(queries[0, :, ::4], "query_in", 1e-5)
        cells = F.normalize(features.dense_BChw.flatten(2).transpose(1, 2), dim=2)
        for name, update in zip(("query_1", "query_2"), head.updates, strict=True):
            queries = update(queries, cells)
            close(queries[0, :, ::4], name, 1e-5)
    close(aligned.cost_BKDhw[0, :, 0], "masks_3", 1e-5)


def test_a_window(model, crop):
    with torch.inference_mode():
        scores = model.scores(crop[0], case_text(CASE, 512))
    close(scores.probs_BKHW[0, :, ::16, ::16], "prob_crop", 2e-6)


def test_the_sliding_window(model):
    image, text = CASE["images"][0], case_text(CASE, 512)
    with torch.inference_mode():
        scores = model.scores(case_images(CASE)[0], text)
        size = (image["height"], image["width"])
        maps_THW = torch.cat([maps[0] for _, _, maps in score_blocks(scores, size)])
        labels_HW = model.label_map(scores, size)
    close(maps_THW[:, ::16, ::16], "sliding_prob", 5e-6)
    assert torch.equal(labels_HW[::2, ::2], EXPECTED["sliding_argmax"].long())


def test_losses(model, crop):
    """A batch of two: the crop, and its mirror image with other labels."""
    rows, columns = CASE["label"]
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    first = ((y * rows // SIDE) * columns + x * columns // SIDE) % 20
    second = (3 * first + 1) % 20
    ignored = x < SIDE // 8
    labels = torch.stack([each.masked_fill(ignored, -1) for each in (first, second)])
    text, seen = case_text(CASE, 512), len(CASE["seen"])
    labels[labels >= seen] = -1
    text = TextFeatures(text.embeds_TPC[:seen])
    with torch.inference_mode():
        features = model.encoder.encode_image(torch.cat([crop, crop.flip(3)]))
        losses = model.criterion(model.segment(features, text), labels)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, EXPECTED[name][0], rtol=1e-5, atol=0)


def test_texts(model):
    text = model.encode_vocabulary(tuple(CASE["text_names"]))
    close(text.embeds_TPC[:, 0], "text_encoded", 1e-6)


def test_the_parameters_that_get_a_gradient_are_those_that_train(model):
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    shapes = CASE["state_dict"]
    without = sum(torch.Size(shapes[name]).numel() for name in CASE["trainable_without_gradient"])
    assert trained == CASE["trainable_parameters"] - without == 8_039_168

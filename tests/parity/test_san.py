"""SAN ViT-B/16, through the converter, against what the authors' code computes.

The authors' modules ran on weights and images that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from official_case import case_images, case_text, official_weights, padded_batch, read_case
from ovss_plugins.san.convert import convert

from ovss.axes import take
from ovss.inference import InferenceConfig, label_map
from ovss.layers.region_maps import region_maps
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.structures import Padding, Selection

CASE, EXPECTED = read_case("san_vit-b16")
STEP = CASE["subsample"]

pytestmark = pytest.mark.slow  # 158 million parameters on a CPU


@pytest.fixture(scope="module")
def model():
    config = load_config("san_vit-b16").model.to_dict()
    config["encoder"] = {**without_pretrained(config["encoder"]), "text_cache": "off"}
    model = build_model(config).eval()
    conversion = convert(official_weights(CASE))
    assert len(set(conversion.source.values())) + len(conversion.dropped) == 442
    model.load_state_dict(conversion.tensors)
    return model


@pytest.fixture(scope="module")
def features(model):
    encoder = model.encoder
    pixels = padded_batch(case_images(CASE), encoder.mean_311, encoder.std_311)
    with torch.inference_mode():
        return encoder.features(pixels, Padding((192, 256), (192, 256)))


@pytest.fixture(scope="module")
def aligned(model, features):
    with torch.inference_mode():
        text = case_text(CASE, 512)
        return model.head(features, text, Selection.everything(2, 20))


def close(found, name, tolerance):
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


def test_masks_and_embeddings(features):
    proposals = features.proposals
    close(proposals.mask_BQhw[:, :: STEP["mask_query"]], "mask_logits", 1e-4)
    unit_BQC = F.normalize(proposals.embed_BQSC[:, :: STEP["embed_query"], 0], dim=2)
    close(unit_BQC, "mask_embeds", 2e-6)


def test_features_of_clip_and_biases(model):
    """Inner results: CLIP at the cut, and the biases of its last blocks before pooling."""
    encoder = model.encoder
    pixels = padded_batch(case_images(CASE), encoder.mean_311, encoder.std_311)
    with torch.inference_mode():
        tokens_BND, inner, cells = encoder.first_blocks(pixels)
        (queries, patches), grid = encoder.side(pixels, inner, (8,))[0][0], (12, 16)
        _, bias_BHQL = encoder.masks(queries, patches)
    patches_BDN = tokens_BND[:, 1:, :: STEP["clip_channel"]].transpose(1, 2)
    close(patches_BDN.unflatten(2, cells), "clip_last", 1e-4)
    close(tokens_BND[:, 0], "clip_cls", 1e-4)
    bias = bias_BHQL[:, :: STEP["bias_head"], :: STEP["bias_query"]].unflatten(3, grid)
    close(bias, "attn_bias", 2e-4)


def test_class_logits(model, aligned):
    logits = torch.cat([aligned.logits_BKQ, aligned.void_BQ[:, None]], dim=1).transpose(1, 2)
    close(logits[:, :: STEP["class_query"]], "class_logits", 1e-4)
    close(F.normalize(model.head.void.detach(), dim=0), "bg", 1e-7)


@pytest.mark.parametrize("index", [0, 1])
def test_merged_scores_and_label_maps(model, aligned, index):
    """Both images were padded to the larger one, so the second one has rows and columns to crop."""
    image = CASE["images"][index]
    with torch.inference_mode():
        masks = take(model.decoder(aligned), B=slice(index, index + 1))
        padding = Padding((192, 256), (image["h"], image["w"]))
        masks = replace(masks, padding=padding)
        maps_KHW = region_maps(masks, (image["height"], image["width"]))[0]
    step, half = STEP["pixel"], STEP["label"]
    close(maps_KHW[:, ::step, ::step], f"sem_seg_{index}", 1e-3)
    labels_HW = maps_KHW.argmax(0)[::half, ::half]
    assert torch.equal(labels_HW, EXPECTED[f"argmax_{index}"].long())


def test_an_image_takes_the_same_way_through_the_whole_method(model):
    model.inference = InferenceConfig(activation="none")
    scores = model.scores(case_images(CASE)[0], case_text(CASE, 512))
    labels_HW = label_map(scores, (150, 200))[0]
    half = STEP["label"]
    assert torch.equal(labels_HW[::half, ::half], EXPECTED["argmax_0"].long())


def test_texts_have_fourteen_prompts_and_names_as_they_are_written(model):
    text = model.encode_vocabulary(tuple(CASE["text_names"][:: STEP["text"]]))
    assert text.embeds_TPC.shape[1] == 14
    close(F.normalize(text.mean_TC, dim=1), "text_encoded", 1e-6)

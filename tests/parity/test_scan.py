"""SCAN ViT-B/16, through the converter, against what the authors' code computes.

The authors' modules ran on weights and an image that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from official_case import case_images, case_text, official_weights, read_case
from ovss_plugins.scan.convert import convert

from ovss.layers.region_maps import region_maps
from ovss.layers.region_tokens import project_tokens
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.structures import Selection

CASE, EXPECTED = read_case("scan_vit-b16")
REGIONS = CASE["region_queries"]
THRESHOLD = CASE["mask_thr"] + 1e-6
"""A logit of the last region lies within 4e-7 of the published threshold, so that rounding decides
its pixel. The next one is 8e-5 away."""

pytestmark = pytest.mark.slow  # 371 million parameters on a CPU


@pytest.fixture(scope="module")
def model():
    config = load_config("scan_vit-b16").model.to_dict()
    config["encoder"] = without_pretrained(config["encoder"])
    config["encoder"]["regions"] |= dict(
        order="raster", ratio=CASE["replace_ratio"], threshold=THRESHOLD
    )
    weight = CASE["ensemble_weight"]
    config["head"]["ensemble"] |= dict(seen=(1 - weight, weight), unseen=(1 - weight, weight))
    model = build_model(config).eval()
    conversion = convert(official_weights(CASE))
    assert len(set(conversion.source.values())) + len(conversion.dropped) == 1224
    model.load_state_dict(conversion.tensors)
    return model


@pytest.fixture(scope="module")
def image_13HW():
    return case_images(CASE)[0][None]


@pytest.fixture(scope="module")
def inner(model, image_13HW):
    """CLIP's tokens after each block; the image needs no padding."""
    encoder = model.encoder
    with torch.inference_mode():
        pixels = (image_13HW - encoder.mean_311) / encoder.std_311
        return encoder.inner_tokens(pixels)


@pytest.fixture(scope="module")
def image(model, image_13HW, inner):
    """Features whose regions beyond the first twelve count as empty, as in the authors' run."""
    encoder = model.encoder
    replaced, encoder.regions.threshold = encoder.regions.threshold, 0.999999
    with torch.inference_mode():
        features = encoder.encode_image(image_13HW)
        encoder.regions.threshold = replaced
        proposals = features.proposals
        first = replace(proposals, embed_BQSC=proposals.embed_BQSC[:, :, :1])
        first.mask_BQhw[:, REGIONS:], masks = -1e4, proposals.mask_BQhw.clone()
        tokens = [inner[0][block][:, 0] for block in encoder.regions.replaced]
        again = encoder.with_regions(first, image_13HW, tokens)
    return replace(features, proposals=replace(again, mask_BQhw=masks))


def close(found, name, tolerance):
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


def test_context_of_clip(model, inner):
    tokens, grid = inner
    for block in (6, 12):
        close(tokens[block][:, 1:].transpose(0, 1)[::4, :, ::16], f"clip_{block}", 1e-4)
    close(project_tokens(model.encoder.clip.visual, tokens[12])[:, 0], "clip_pooled", 1e-4)
    with torch.inference_mode():
        maps = [tokens[b][:, 1:].transpose(1, 2).unflatten(2, grid) for b in (6, 9, 12)]
        memory_BNC = model.encoder.context.memory(maps)
    close(memory_BNC[:, ::4, ::16], "memory", 1e-4)


def test_backbone(model, image_13HW):
    encoder = model.encoder
    with torch.inference_mode():
        maps = encoder.backbone((image_13HW - encoder.own_mean_311) / encoder.own_std_311)
    close(maps[3][:, ::16], "swin_res5", 1e-4)


def test_masks_and_calibrated_embeddings(image):
    close(image.proposals.mask_BQhw[:, ::10, ::2, ::2], "mask_logits", 2e-4)
    close(image.proposals.embed_BQSC[0, ::5, 0], "query_out", 1e-4)


def test_regions(image):
    filled_Q = image.proposals.filled_BQ[0]
    assert torch.equal(filled_Q, EXPECTED["valid"].bool())
    close(image.proposals.embed_BQSC[0, filled_Q, 1], "region_embeds", 2e-4)


def test_class_logits_of_both_sources(model, image):
    rows_BKC = Selection.everything(1, len(CASE["names"])).gather(case_text(CASE, 512).mean_TC)
    filled_Q = image.proposals.filled_BQ[0]
    for source, name in enumerate(("in_logits", "region_logits")):
        with torch.inference_mode():
            logits_BKQ, void_BQ = model.head._logits(image.proposals.embed_BQSC, source, rows_BKC)
        logits_QR = torch.cat([logits_BKQ, void_BQ[:, None]], dim=1)[0].T
        close(logits_QR[filled_Q] if source else logits_QR, name, 1e-4)


def test_merged_scores(model, image):
    size = (CASE["images"][0]["height"], CASE["images"][0]["width"])
    with torch.inference_mode():
        scores_KHW = region_maps(model.segment(image, case_text(CASE, 512)), size)[0]
    close(scores_KHW[:, ::8, ::8], "sem_seg", 1e-3)
    assert torch.equal(scores_KHW.argmax(0), EXPECTED["argmax"].long())

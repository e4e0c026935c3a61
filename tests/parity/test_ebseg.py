"""EBSeg ViT-B/16, through the converter, against what the authors' code computes.

The authors' modules ran on weights and images that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from official_case import case_images, case_text, official_weights, padded_batch, read_case
from ovss_plugins.ebseg.convert import convert

from ovss.axes import take
from ovss.layers.patches import embed_patches
from ovss.layers.region_maps import region_maps
from ovss.layers.region_tokens import run_block
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.structures import Padding, Selection

CASE, EXPECTED = read_case("ebseg_vit-b16")
SECOND = "clip_rec_head."
TWICE = {
    f"clip_visual_extractor.{name}": f"{SECOND}{name}"
    for name in ("proj", "ln_post.weight", "ln_post.bias")
}

pytestmark = pytest.mark.slow  # 262 million parameters on a CPU


@pytest.fixture(scope="module")
def model():
    config = load_config("ebseg_vit-b16").model.to_dict()
    config["encoder"] = without_pretrained(config["encoder"])
    names = [name for name, seen in zip(CASE["names"], CASE["seen"], strict=True) if seen]
    config["head"]["seen"] = names
    model = build_model(config).eval()
    conversion = convert(official_weights(CASE, TWICE))
    assert len(set(conversion.source.values())) + len(conversion.dropped) == 800
    model.load_state_dict(conversion.tensors)
    return model


@pytest.fixture(scope="module")
def image(model):
    encoder, images = model.encoder, case_images(CASE)
    clip_B3HW = padded_batch(images, encoder.mean_311, encoder.std_311)
    sam_B3HW = padded_batch(images, encoder.sam_mean_311, encoder.sam_std_311)
    size = (clip_B3HW.shape[2], clip_B3HW.shape[3])
    with torch.inference_mode():
        return encoder.features(clip_B3HW, sam_B3HW, Padding(size, size))


def close(found, name, tolerance):
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


def close_queries(found_BQK, expected_BQK, tolerance):
    """All queries but one are equal.

    The queries attend inside the masks of the layer before. A logit of these masks is so close to
    the threshold that the rounding of the processor decides, which moves the one query.
    """
    off_BQ = (found_BQK - expected_BQK).abs().amax(2) > tolerance
    assert off_BQ.sum() <= 1, f"{off_BQ.sum()} of {off_BQ.numel()} queries differ"


def test_pyramid_of_sam_with_the_features_of_clip(model):
    """The authors' code adds CLIP's features in place, so that this level has them."""
    encoder, images = model.encoder, case_images(CASE)
    taps = {}
    with torch.inference_mode():
        pixels = padded_batch(images, encoder.mean_311, encoder.std_311)
        small = F.interpolate(pixels, scale_factor=0.5, mode="bilinear")
        tokens, grid = embed_patches(encoder.clip.visual, small)
        for i, block in enumerate(encoder.clip.visual.transformer.resblocks[:9], 1):
            tokens = run_block(block, tokens)
            taps[i] = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
        levels = encoder.sam(padded_batch(images, encoder.sam_mean_311, encoder.sam_std_311))
        fused = encoder.fusion(levels, [taps[i] for i in (3, 6, 9)])
    close(fused[2][:, ::64], "sam_res4", 1e-4)


def test_masks_and_embeddings(image):
    proposals = image.proposals
    close(proposals.mask_BQhw[:, ::10, ::2, ::2], "mask_logits", 2e-4)
    close(proposals.embed_BQSC[:, ::10, 0, ::4], "mask_embeds", 1e-5)
    close(proposals.embed_BQSC[:, ::10, 1, ::4], "mask_embeds_clip", 1e-5)
    unit_BChw = F.normalize(image.dense_BChw, dim=1)
    close(unit_BChw[:, ::16], "dense_clip", 1e-5)


def test_class_logits_of_all_sources(model, image):
    text = case_text(CASE, 512)
    rows_BKC = Selection.everything(2, len(CASE["names"])).gather(text.mean_TC)
    for source, name in enumerate(("logits_decoder", "logits_clip", "logits_pooled")):
        with torch.inference_mode():
            logits_BKQ, void_BQ = model.head._logits(image.proposals.embed_BQSC, source, rows_BKC)
        found_BQK = torch.cat([logits_BKQ, void_BQ[:, None]], dim=1).transpose(1, 2)
        close_queries(found_BQK, EXPECTED[name], 1e-4)


def test_merged_scores(model, image):
    with torch.inference_mode():
        masks = model.segment(image, case_text(CASE, 512))
    share_BQK = EXPECTED["class_log_probs"].softmax(2)[..., :-1]
    close_queries(masks.share_BKQ.transpose(1, 2), share_BQK, 1e-5)
    for i, size in enumerate(CASE["images"]):
        padding = replace(masks.padding, image=(size["h"], size["w"]))
        one = replace(take(masks, B=slice(i, i + 1)), padding=padding)
        scores_KHW = region_maps(one, (size["height"], size["width"]))[0]
        close(scores_KHW[:, ::8, ::8], f"sem_seg_{i}", 1e-3)
        assert torch.equal(scores_KHW.argmax(0), EXPECTED[f"argmax_{i}"].long())

"""LSeg ViT-L/16 and ResNet-101, through the converter, against what the authors' code computes.

The authors' modules ran on weights and images that follow from a formula; their outputs are in
``data/``. No trained weights are needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from official_case import case_images, official_weights, read_case
from ovss_plugins.lseg import SpatialBlockDecoder
from ovss_plugins.lseg.convert import convert
from plain_cat_seg import formula_image
from torch import Tensor

from ovss.inference import merged_scores
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures

pytestmark = pytest.mark.slow  # 405 million parameters on a CPU

LEVELS = ("layer1_rn", "layer2_rn", "layer3_rn", "layer4_rn")
STAGES = ("refinenet1", "refinenet2", "refinenet3", "refinenet4")


class Case:
    """A case with its model, and the features of its image."""

    def __init__(self, name: str, config: str, overrides: dict[str, Any]) -> None:
        self.facts, self.expected = read_case(name)
        model = load_config(config).model.to_dict()
        model["encoder"] = {**without_pretrained(model["encoder"]), "text_cache": "off"} | overrides
        self.model = build_model(model).eval()
        shapes = self.facts["state_dict"]
        filled = {n: s for n, s in shapes.items() if ".visual." not in n and "tracked" not in n}
        weights = {n: torch.zeros(shape, dtype=torch.uint8) for n, shape in shapes.items()}
        del weights["clip_pretrained.logit_scale"], filled["clip_pretrained.logit_scale"]
        conversion = convert(weights | official_weights({**self.facts, "state_dict": filled}))
        assert len(set(conversion.source.values())) + len(conversion.dropped) == len(shapes) - 1
        self.model.load_state_dict(conversion.tensors)
        self.image = case_images(self.facts)[0]
        self.stages: dict[str, Tensor] = {}

    def features(self) -> ImageFeatures:
        """Features of the image; every stage of the decoder is kept in `stages`."""
        encoder = self.model.encoder
        with torch.inference_mode():
            pixels = (self.image[None] - encoder.mean_311) / encoder.std_311
            levels = encoder.vision(pixels)
            narrow = [f(x) for f, x in zip(encoder.fusion.narrow, levels, strict=True)]
            self.stages = dict(zip(LEVELS, narrow, strict=True))
            x = None
            for index in (3, 2, 1, 0):
                refine = encoder.fusion.refine[index]
                x = refine(narrow[index]) if x is None else refine(x, narrow[index])
                self.stages[STAGES[index]] = x
            return encoder.encode_image(self.image[None])

    def close(self, found: Tensor, name: str, tolerance: float) -> None:
        print(f"{name}: {(found - self.expected[name]).abs().max():.2g}")  # shown by pytest -s
        torch.testing.assert_close(found, self.expected[name], atol=tolerance, rtol=0)

    def check_stages(self, dense_BChw: Tensor) -> None:
        """Compares every stage of the decoder, at about ten rows of cells."""
        for name, x in [*self.stages.items(), ("head1", dense_BChw)]:
            step = max(1, x.shape[2] // 10)
            self.close(x[0, ::16, ::step, ::step], name, 2e-4)


@pytest.fixture(scope="module")
def vit() -> Case:
    return Case("lseg_vit-l16", "lseg_vit-l16", {})


@pytest.fixture(scope="module")
def vit_features(vit) -> ImageFeatures:
    return vit.features()


@pytest.fixture(scope="module")
def vit_text(vit) -> TextFeatures:
    with torch.inference_mode():
        return vit.model.encode_vocabulary(tuple(vit.facts["names"]))


def test_every_stage_of_the_vit(vit, vit_features):
    vit.check_stages(vit_features.dense_BChw)


def test_texts_logits_and_label_map(vit, vit_features, vit_text):
    vit.close(vit_text.embeds_TPC[:, 0, ::2], "text", 1e-6)
    with torch.inference_mode():
        masks = vit.model.segment(vit_features, vit_text)
    vit.close(masks.logits_BKHW[0, :, ::4, ::4], "logits", 2e-5)
    assert torch.equal(masks.logits_BKHW[0].argmax(0), vit.expected["argmax"].long())


def test_several_scales_and_mirror_images(vit, vit_text):
    """The authors add the logits of 12 runs in 32 windows; here they are averaged."""
    facts = vit.facts
    image = formula_image(facts["eval_h"], facts["eval_w"], facts["images"][0]["seed"] + 1)
    options = dict(size=facts["base_size"], window=facts["crop_size"], activation="sigmoid")
    config = replace(vit.model.inference, stride=facts["crop_size"] * 2 // 3, **options)
    calls = []

    def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
        calls.extend(views_V3HW)
        features = vit.model.encoder.encode_image(views_V3HW)
        return features, vit.model.segment(features, vit_text)

    with torch.inference_mode():
        scores = merged_scores(image.float(), vit_text, segment, config)
    assert len(calls) == 32
    logits_KHW = 12 * torch.logit(scores.probs_BKHW[0].double()).float()
    assert torch.equal(logits_KHW.argmax(0), vit.expected["multi_scale_argmax"].long())
    vit.close(logits_KHW[:, ::4, ::4], "multi_scale", 1e-4)


@pytest.mark.parametrize("block", ["bottleneck", "depthwise"])
@pytest.mark.parametrize("activation", ["lrelu", "tanh"])
def test_spatial_blocks(vit, vit_features, vit_text, block, activation):
    model, everything = vit.model, Selection.everything(1, 12)
    depth = vit.facts["block_depth_test"]
    decoder = SpatialBlockDecoder(1 / 0.07, block, depth, activation)
    key = "scratch.head_block.depthwise.depthwise"
    shapes = {f"{key}.weight": [1, 1, 3, 3], f"{key}.bias": [1]}
    values = official_weights({**vit.facts, "state_dict": shapes})
    decoder.conv.load_state_dict({name.rpartition(".")[2]: x for name, x in values.items()})
    with torch.inference_mode():
        cost = model.head(vit_features, vit_text, everything).cost_BKDhw
        logits = decoder.scale * cost[:, :, 0]
        found = decoder.regularised(logits, everything)
    vit.close(logits[0, :, ::4, ::4], "logits_low", 2e-5)
    vit.close(found[0, :, ::8, ::8], f"{block}_{activation}", 5e-5)


def test_the_network_against_others():
    """Two images with different classes: each has a vocabulary of its own."""
    case = Case("lseg_rn101", "lseg_rn101", dict(pixel_mean=[127.5] * 3, pixel_std=[127.5] * 3))
    features = case.features()
    case.check_stages(features.dense_BChw)
    for row, index in enumerate(case.facts["class_info"]):
        with torch.inference_mode():
            text = case.model.encode_vocabulary(("others", case.facts["names"][index]))
            logits_KHW = case.model.segment(features, text).logits_BKHW[0]
        expected = case.expected["text"][2 * row : 2 * row + 2]
        torch.testing.assert_close(text.embeds_TPC[:, 0, ::2], expected, atol=1e-6, rtol=0)
        difference = (logits_KHW[:, ::4, ::4] - case.expected["logits"][row]).abs().max()
        print(f"logits of image {row}: {difference:.2g}")
        assert difference < 2e-5
        assert torch.equal(logits_KHW.argmax(0), case.expected["argmax"][row].long())

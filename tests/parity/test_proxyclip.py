"""ProxyCLIP and the pieces that it shares with Trident, against what the authors' code computes.

Weights follow from a formula of the official names; DINO's file is written in its authors' layout
and read by the encoder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_cat_seg import formula_image, formula_weights
from torch import Tensor

from ovss.encoders.proxy import ProxyEncoder
from ovss.inference import InferenceConfig, merged_scores
from ovss.ops import cosine_volume
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures

DATA = Path(__file__).parent / "data"
CASES = {
    "proxyclip_dino16": ("vit_small_patch16_224.dino", 2),
    "proxyclip_dino8": ("vit_small_patch8_224.dino", 6),
    "proxyclip_sliding": ("vit_small_patch16_224.dino", 1),
}

pytestmark = pytest.mark.slow  # 108 million parameters


def read(name: str) -> tuple[dict, dict[str, Tensor]]:
    with np.load(DATA / f"{name}.npz") as file:
        outputs = {key: torch.from_numpy(file[key]) for key in file.files}
    return json.loads((DATA / f"{name}.json").read_text()), outputs


def official_statistics(encoder: ProxyEncoder) -> None:
    """The authors round CLIP's statistics, and make DINO's pixels from CLIP's."""
    mean, std = ((122.771, 116.746, 104.094), (68.501, 66.632, 70.323))
    clip_mean, clip_std = (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )
    dino_mean, dino_std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    m, s, cm, cs, dm, ds = (
        torch.tensor(value).view(3, 1, 1)
        for value in (mean, std, clip_mean, clip_std, dino_mean, dino_std)
    )
    encoder.encoder.mean_311.copy_(m)
    encoder.encoder.std_311.copy_(s)
    encoder.vfm.mean_311.copy_(m - (cm - dm) * s / cs)
    encoder.vfm.std_311.copy_(s * ds / cs)


def build(case: dict, model: str, folder: Path, **options) -> ProxyEncoder:
    dino = folder / "dino.pth"
    torch.save(formula_weights(case["vfm"]["keys"]), dino)
    clip = dict(type="OpenCLIPEncoder", model="ViT-B-16-quickgelu", positions="scale_factor")
    vfm = dict(model=model, pretrained=str(dino))
    encoder = ProxyEncoder(clip=clip, vfm=vfm, proxy=case["parameters"], **options).eval()
    visual = {
        name.removeprefix("visual."): value for name, value in formula_weights(case["keys"]).items()
    }
    encoder.encoder.clip.visual.load_state_dict(visual)
    official_statistics(encoder)
    return encoder


def image_of(case: dict) -> Tensor:
    facts = case["image"]
    return formula_image(facts["height"], facts["width"], facts["seed"]).float()


@pytest.mark.parametrize("name", ["proxyclip_dino16", "proxyclip_dino8"])
@torch.inference_mode()
def test_tokens_and_cosines(name, tmp_path):
    (case, expected), (model, step) = read(name), CASES[name]
    encoder, image = build(case, model, tmp_path, multiple=56), image_of(case)[None]
    found = encoder.vfm(image)[0, ::3, ::step, ::step]
    torch.testing.assert_close(found, expected["vfm"], atol=5e-5, rtol=0)
    dense = encoder.encode_image(image).dense_BChw[0]
    found = dense[::3, ::step, ::step]
    torch.testing.assert_close(found, expected["dense_features"], atol=5e-5, rtol=0)
    cosines = torch.einsum("tc,chw->thw", expected["text_rows"], F.normalize(dense, dim=0))
    torch.testing.assert_close(cosines, expected["cosines"], atol=2e-6, rtol=0)


@torch.inference_mode()
def test_windows_that_are_padded(tmp_path):
    """An image that is lower than a window: 300 x 336 pixels in the middle of 336 x 336."""
    (case, expected), (model, _) = read("proxyclip_sliding"), CASES["proxyclip_sliding"]
    encoder = build(case, model, tmp_path, multiple=56)
    text = TextFeatures(expected["text_rows"][:, None])

    def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
        features = encoder.encode_image(views_V3HW)
        selection = Selection.everything(len(views_V3HW), 9)
        volume = cosine_volume(features.dense_BChw, selection.gather(text.embeds_TPC))
        return features, Masks(volume[:, :, 0], selection)

    image = image_of(case)
    # The canvas is the image itself: shorter side 336, but never longer than 448.
    config = InferenceConfig(
        mode="slide", size=336, keep_ratio=True, longest=448, window=case["window"],
        stride=case["stride"], global_view=False, activation="none",
    )  # fmt: skip
    assert config.canvas(300, 448) == (300, 448)
    scores = merged_scores(image, text, segment, config)
    cosines = F.interpolate(scores.probs_BKHW, size=(375, 560), mode="bilinear")[0]
    found = cosines[:, ::8, ::8]
    torch.testing.assert_close(found, expected["sliding_cosines"], atol=2e-6, rtol=0)
    prob, owner = (case["logit_scale"] * cosines).softmax(0), torch.tensor(case["query_class"])
    best = torch.stack([prob[owner == index].amax(0) for index in range(6)])
    torch.testing.assert_close(best[:, ::8, ::8], expected["sliding_prob"], atol=1e-4, rtol=0)
    value, label = best.max(0)
    label[value < case["prob_thd"]] = 0
    assert torch.equal(label[::2, ::2].to(torch.uint8), expected["sliding_argmax"])

"""OVSeg R101c, through the converter, against the outputs of the authors' code.

The authors' modules ran in double precision on weights and an image that follow from a formula;
their outputs are in ``data/``. No trained weights are needed.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.two_stage.convert import convert
from plain_cat_seg import formula_image
from torch import Tensor

from ovss.embedders.crops import nearest_crops, visible_patches
from ovss.layers.crops import bicubic_taps, cut, mask_extents
from ovss.layers.region_maps import region_maps
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Selection, TextFeatures

DATA = Path(__file__).parent / "data"
CASE = json.loads((DATA / "ovseg_r101c.json").read_text())
CENTRED = (
    "predictor.input_proj.weight", "pixel_decoder.mask_features.weight",
    "mask_embed.layers.1.weight", "mask_embed.layers.2.weight", "class_embed.layers.1.weight",
)  # fmt: skip
TEXT_TOWER = ("clip_model.transformer.", "token_embedding")

pytestmark = pytest.mark.slow  # 16 crops through ViT-B/16 in double precision


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of an official tensor."""
    if any(part in name for part in TEXT_TOWER):  # the names' embeddings are given
        return np.zeros(shape, np.float32)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    if name.endswith("logit_scale"):
        return np.full(shape, np.log(100), np.float32)
    if name.endswith("query_embed.weight"):
        return noise
    if name.endswith("mask_embedding"):
        return np.float32(0.5) * noise
    if len(shape) <= 1:
        if name.endswith("running_var"):
            noise = np.abs(noise)
        is_scale = name.endswith(("weight", "running_var"))
        return 1 + np.float32(0.1) * noise if is_scale else np.float32(0.02) * noise
    if name.startswith("sem_seg_head.") and name.endswith(CENTRED):
        noise = noise - noise.mean(axis=tuple(range(1, noise.ndim)), keepdims=True)
    return np.float32(gain(name)) * noise / np.float32(np.sqrt(noise.size / shape[0]))


def gain(name: str) -> float:
    if not name.startswith("sem_seg_head.predictor"):
        return 1.0
    if name.endswith("in_proj_weight"):
        return 4.0
    return 0.25 if name.endswith(("out_proj.weight", "linear2.weight")) else 1.0


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(DATA / "ovseg_r101c.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def model() -> OpenVocabSegmentor:
    published = {
        name: torch.from_numpy(np.asarray(values(name, tuple(shape))))
        for name, shape in CASE["state_dict"].items()
    }
    found = convert(published)
    assert set(found.source.values()) | set(found.dropped) == set(CASE["state_dict"])
    assert len(CASE["state_dict"]) == 983
    overrides = {
        "model.encoder.encoder.pretrained": None,
        "model.encoder.proposer.queries": CASE["queries"],
    }
    model = build_model(load_config("ovseg_r101c", overrides).model.to_dict()).eval()
    model.load_state_dict(found.tensors)
    return model.double()


@pytest.fixture(scope="module")
def image() -> Tensor:
    (each,) = CASE["images"]
    return formula_image(each["h"], each["w"], each["seed"])[None].double()


@pytest.fixture(scope="module")
def text() -> TextFeatures:
    rows = []
    for name in CASE["names"]:
        row = np.random.RandomState(zlib.crc32(f"text/{name}".encode())).standard_normal(512)
        row = row.astype(np.float32)
        norm = np.sqrt((row.astype(np.float64) ** 2).sum())
        rows.append((row / norm).astype(np.float32))
    return TextFeatures(torch.from_numpy(np.stack(rows)).double()[:, None])


@pytest.fixture(scope="module")
def features(model, image) -> ImageFeatures:
    with torch.inference_mode():
        return model.encoder.encode_image(image)


def check(found: Tensor, wanted: Tensor) -> None:
    """Equal to 1e-5 of the largest value."""
    assert found.shape == wanted.shape
    worst = float((found.double() - wanted.double()).abs().max())
    assert worst <= 1e-5 * float(wanted.abs().max()), worst


def test_maps_of_the_first_stage(model, image, expected):
    proposer = model.encoder.proposer
    with torch.inference_mode():
        levels, padding = proposer._levels(None, image)
        check(levels[-1][:, ::32], expected["res5"])
        check(proposer.pixel_decoder(levels)[:, ::8, ::4, ::4], expected["mask_features"])
    assert (padding.padded, padding.image) == ((192, 256), (192, 250))


def test_proposals(features, expected):
    proposals = features.proposals
    check(proposals.mask_BQhw[..., ::4, ::4], expected["mask_logits"])
    check(proposals.embed_BQSC[:, :, 0, ::4], expected["class_embeds"])
    assert torch.equal(proposals.filled_BQ[0], expected["valid"].bool())
    check(F.normalize(proposals.embed_BQSC[0, :, 1], dim=1)[:, ::2], expected["region_embeds"])


def test_crops(model, image, features, expected):
    embedder = model.encoder.embedders[0]
    mask_NHW = embedder._masks(features.proposals.mask_BQhw[0], (192, 250), features.proposals)
    rows, columns = mask_extents(mask_NHW, 1), mask_extents(mask_NHW, 2)
    crop_NSS = nearest_crops(mask_NHW, rows, columns, (224, 224))
    wanted = np.unpackbits(expected["region_masks"].numpy())[: 16 * 28 * 28].reshape(16, 28, 28)
    assert np.array_equal(crop_NSS[:, 4::8, 4::8].numpy(), wanted)
    assert visible_patches(crop_NSS, (16, 16)).shape == (16, 196)
    encoder = model.encoder.encoder
    pixels_HW3 = ((image[0] - encoder.mean_311) / encoder.std_311).permute(1, 2, 0)
    taps = [bicubic_taps(*extent[:2], 224, torch.float64) for extent in (rows, columns)]
    crop_N3SS = cut(pixels_HW3 * mask_NHW[..., None], *taps)
    check(crop_N3SS[:2, :, 4::8, 4::8], expected["regions"])


def test_scores(model, features, text, expected):
    head, selection = model.head, Selection.everything(1, len(CASE["names"]))
    rows_BKC = selection.gather(text.embeds_TPC[:, 0])
    with torch.inference_mode():
        for source, name in enumerate(("query_logits", "region_logits")):
            logits_BKQ, void_BQ = head._logits(features.proposals.embed_BQSC, source, rows_BKC)
            found_BRQ = torch.cat([logits_BKQ, void_BQ[:, None]], 1)
            check(found_BRQ[0].T, expected[name].view(16, -1))
        masks = model.decoder(head(features, text, selection))
        check(masks.share_BKQ[0].T, expected["class_probs"])
        masks = replace(masks, mask_BQhw=masks.mask_BQhw.float())
        scores_KHW = region_maps(masks, (192, 250))[0]
    check(scores_KHW[:, ::8, ::8], expected["sem_seg"])
    assert torch.equal(scores_KHW.argmax(0), expected["argmax"].long())

"""CorrCLIP ViT-B/16 against what the authors' code computes, on weights from a formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clip_case import MEAN, STD, clip_encoder, cosines
from official_case import official_weights, read_case
from ovss_plugins.corrclip.regions import compact, merge_regions, region_distances
from plain_cat_seg import formula_image
from safetensors.torch import save_file

from ovss.encoders.weights import CLIP_MEAN, CLIP_STD
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.proposers.current import CurrentImage, current_images
from ovss.registry import ENCODERS

CASE, EXPECTED = read_case("corrclip_vit-b16")
STEP = CASE["step"]

pytestmark = pytest.mark.slow  # 100 million parameters on a CPU


@pytest.fixture(scope="module")
def image():
    spec = CASE["image"]
    return formula_image(spec["height"], spec["width"], spec["seed"]).float()[None]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The config, with the case's small DINO, its weights, and its boxes as masks in a folder."""
    folder = tmp_path_factory.mktemp("masks")
    masks = np.zeros((len(CASE["boxes"]), 224, 224), dtype=bool)
    for mask, (top, bottom, left, right) in zip(masks, CASE["boxes"], strict=True):
        mask[top:bottom, left:right] = True
    np.save(folder / "image.npy", masks)
    options = without_pretrained(load_config("corrclip_vit-b16").model.encoder.to_dict())
    clip = clip_encoder(CASE, options["clip"])
    published = official_weights({**CASE, "state_dict": CASE["vfm_state_dict"]})
    save_file(published, folder / "dino.safetensors")
    options["vfm"] |= dict(
        model="vit_small_patch8_224.dino", pretrained=f"{folder}/dino.safetensors"
    )
    encoder = ENCODERS.build({**options, "clip": clip, "proposer": {
        "type": "FolderProposer", "folder": str(folder)}}).eval()  # fmt: skip
    # the authors undo CLIP's statistics, which they round to three digits, with exact ones
    mean, std = (torch.tensor(row).view(3, 1, 1) for row in (MEAN, STD))
    factor = std / (255 * torch.tensor(CLIP_STD).view(3, 1, 1))
    own_mean, own_std = encoder.vfm.mean_311, encoder.vfm.std_311
    clip_mean = 255 * torch.tensor(CLIP_MEAN).view(3, 1, 1)
    encoder.vfm.mean_311, encoder.vfm.std_311 = (
        mean + factor * (own_mean - clip_mean),
        factor * own_std,
    )
    return encoder


@pytest.fixture(scope="module")
def unit(encoder, image):
    with torch.inference_mode():
        return F.normalize(encoder.vfm(image), dim=1)


def close(found, name, tolerance):
    print(f"{name}: {(found - EXPECTED[name]).abs().max():.2g}")  # pytest -s
    torch.testing.assert_close(found, EXPECTED[name], atol=tolerance, rtol=0)


def test_queries_and_keys_of_dino(unit):
    close(unit[0, :, ::STEP, ::STEP], "vfm_qk", 5e-5)


def test_distances_and_clusters_of_the_regions(encoder, image, unit):
    with current_images([CurrentImage("image.jpg")]), torch.inference_mode():
        region_1hw, most = encoder.region_maps(image, (28, 28), None)
        map_1YX, _ = encoder.region_maps(image, (224, 224), None)
    assert torch.equal(map_1YX[0, ::2, ::2], EXPECTED["regions"].long())
    number_1N, count_1 = compact(region_1hw.flatten(1), most)
    distance_1KK = region_distances(number_1N, count_1, unit.flatten(2).transpose(1, 2), 6)
    close(distance_1KK[0, 1:, 1:], "region_distance", 2e-6)
    merged_1N = merge_regions(number_1N, count_1, distance_1KK, encoder.eps)
    clusters = [int(merged_1N[number_1N == k].unique()) for k in range(1, 6)]
    found = [sorted(set(clusters)).index(cluster) for cluster in clusters]
    assert found == CASE["facts"]["clusters"]


def test_dense_tokens_and_cosines(encoder, image):
    with current_images([CurrentImage("image.jpg")]), torch.inference_mode():
        dense = encoder.encode_image(image).dense_BChw
    close(dense[0, :, ::STEP, ::STEP], "dense_features", 5e-5)
    close(cosines(dense, EXPECTED["text_rows"]), "cosines", 2e-6)

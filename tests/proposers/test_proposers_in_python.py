"""Proposers that know whole images only, through the Python interface."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ovss import Inferencer

OVERRIDES = {
    "model.encoder.proposer": dict(_delete_=True, type="FolderProposer", folder="?"),
    "model.encoder.encoder.pretrained": "mini_clip",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    masks = np.zeros((2, 8, 8), bool)
    masks[0, :, :3], masks[1, :, 3:] = True, True
    np.save(folder / "photo.npy", masks)
    OVERRIDES["model.encoder.proposer"]["folder"] = str(folder)
    return Inferencer("oracle_mini", overrides=OVERRIDES)


def test_an_image_file_finds_its_regions(run, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(
        tmp_path / "photo.png"
    )
    labels = run(tmp_path / "photo.png", "red star, blue square").label_map
    assert len(np.unique(labels[:, :14])) == len(np.unique(labels[:, 16:])) == 1
    with pytest.raises(LookupError, match="expects the name of each of 1 images"):
        run(np.zeros((40, 40, 3), np.uint8), "red star, blue square")


def test_tiles_are_refused(run, tmp_path):
    from ovss.api.request import Request

    image = tmp_path / "photo.png"
    Image.new("RGB", (40, 40)).save(image)
    request = Request.of("red star", None, 0.0, False)
    with pytest.raises(ValueError, match="oracle_mini needs the whole image"):
        run.label(image, request, tile=20)

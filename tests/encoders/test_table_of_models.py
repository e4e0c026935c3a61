"""The table of models in docs/encoders.md names what the encoders accept, and their numbers."""

from __future__ import annotations

import re

import open_clip
import pytest
import timm
import torch

from ovss.encoders.architecture import (
    check_architecture,
    check_convnext,
    check_timm,
    read_model_config,
)
from ovss.io.shapes_only import shapes_only
from ovss.layers.timm_tokens import patch_of

CHECKS = {
    "OpenCLIPEncoder": check_architecture,
    "OpenCLIPConvNeXtEncoder": check_convnext,
    "TimmCLIPEncoder": check_timm,
}


def rows(repo_root) -> list[list[str]]:
    text = (repo_root / "docs" / "encoders.md").read_text()
    table = text.split("| models of open_clip |")[1].split("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.split("\n")[2:]
    ]


def models(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def accepted(name: str) -> str | None:
    """Encoder that takes a model."""
    config = read_model_config(name)
    for encoder, check in CHECKS.items():
        try:
            check(name, config)
        except ValueError:
            continue
        return encoder
    return None


def test_dims_and_tokenizers(repo_root):
    for names, _, patches, dim, text, _ in rows(repo_root):
        for name in models(names):
            config = read_model_config(name)
            assert config["embed_dim"] == int(dim), name
            hub = config["text_cfg"].get("hf_tokenizer_name")
            assert ("hub" if hub else "CLIP") == text, name
            vision = config["vision_cfg"]
            if "timm_model_name" not in vision:
                assert str(vision.get("patch_size", 16)) in patches.split(", "), name


def test_no_model_is_named_twice(repo_root):
    names = [name for row in rows(repo_root) for name in models(row[0])]
    assert len(names) == len(set(names))


@pytest.mark.slow  # every tower of timm on the meta device, up to 2 billion parameters
def test_the_table_is_what_the_encoders_accept(repo_root):
    listed = {name: models(row[1])[0] for row in rows(repo_root) for name in models(row[0])}
    # other tests load the bundled CLIPs, which open_clip lists from then on
    names = [name for name in open_clip.list_models() if not name.startswith("mini_")]
    found = {name: accepted(name) for name in names}
    assert {name: encoder for name, encoder in found.items() if encoder} == listed


@pytest.mark.slow
def test_patches_of_timms_towers(repo_root):
    for names, encoder, patches, *_ in rows(repo_root):
        for name in models(names) if "TimmCLIP" in encoder else ():
            with shapes_only():
                tower = read_model_config(name)["vision_cfg"]["timm_model_name"]
                trunk = timm.create_model(tower, num_classes=0)
            assert str(patch_of(trunk)[0]) in patches.split(", "), name


@pytest.mark.parametrize(
    "name", ["ViT-B-16-SigLIP2-256", "EVA02-B-16", "PE-Core-B-16", "MobileCLIP2-B", "ViTamin-S"]
)
def test_full_towers_run_on_the_meta_device(name):
    from ovss.encoders import TimmCLIPEncoder

    with shapes_only():
        encoder = TimmCLIPEncoder(name, levels=(1,), text_cache="off")
        features = encoder.encode_image(torch.zeros(1, 3, 240, 320))
    rows_and_columns = (240 // encoder.patch_size[0], 320 // encoder.patch_size[1])
    assert features.dense_BChw.shape == (1, encoder.joint_dim, *rows_and_columns)
    assert features.pooled_BC.shape == (1, encoder.joint_dim)
    assert features.levels[0].shape[2:] == rows_and_columns

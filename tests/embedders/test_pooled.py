"""Embeddings pooled before the head of a convolutional CLIP."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from ovss.embedders import PooledEmbedder
from ovss.encoders import OpenCLIPConvNeXtEncoder
from ovss.structures import Padding, Proposals

CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "test_convnext", "timm_model_pretrained": False,
                   "timm_pool": "", "timm_proj": "linear", "image_size": 32},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2},
}  # fmt: skip


@pytest.fixture
def clip_file(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(CLIP))
    return str(path)


def proposals(mask_BQhw, padding=None) -> Proposals:
    valid_BQ = torch.ones(mask_BQhw.shape[:2], dtype=torch.bool)
    return Proposals(mask_BQhw, torch.zeros(*valid_BQ.shape, 1, 16), valid_BQ, padding=padding)


@torch.no_grad()
def test_regions_are_embedded_like_images(clip_file):
    encoder = OpenCLIPConvNeXtEncoder(clip_file, levels=(1, 3, 0)).eval()
    image = 255 * torch.rand(2, 3, 64, 96)
    features = encoder.encode_image(image)
    mask = torch.full((2, 4, 2, 3), -1.0)
    mask[:, 0] = 1  # everything
    mask[:, 1, 1, 2] = 1  # one cell
    mask[:, 2, :, :2] = 1
    embed, filled = PooledEmbedder()(encoder, features, image, proposals(mask))
    assert filled.tolist() == [[True, True, True, False]] * 2
    torch.testing.assert_close(embed[:, 0], features.pooled_BC)
    torch.testing.assert_close(embed[:, 1], features.dense_BChw[:, :, 1, 2])
    some = features.levels[1][:, :, :, :2]
    visual = encoder.clip.visual
    torch.testing.assert_close(embed[:, 2], visual.head(visual.trunk.forward_head(some)))
    assert embed.isfinite().all()


@torch.no_grad()
def test_masks_of_a_padded_input_cover_the_padding(clip_file):
    encoder = OpenCLIPConvNeXtEncoder(clip_file, levels=(3,), fit="pad").eval()
    image = 255 * torch.rand(1, 3, 40, 64)
    features = encoder.encode_image(image)
    mask = torch.randn(1, 3, 16, 16)
    embed, _ = PooledEmbedder()(encoder, features, image, proposals(mask, features.padding))
    assert features.padding == Padding((64, 64), (40, 64))
    small = F.interpolate(mask, (2, 2), mode="bilinear", align_corners=False)[0, 0] > 0
    mean = features.levels[0][0][:, small].sum(1) / (small.sum() + 1e-8)
    visual = encoder.clip.visual
    expected = visual.head(visual.trunk.forward_head(mean[None, :, None, None]))
    torch.testing.assert_close(embed[0, :1], expected)


@torch.no_grad()
def test_masks_that_cover_the_image_alone_leave_out_the_padding(clip_file):
    encoder = OpenCLIPConvNeXtEncoder(clip_file, levels=(3,), fit="pad").eval()
    image = 255 * torch.rand(1, 3, 32, 64)
    features = encoder.encode_image(torch.cat([image, torch.zeros(1, 3, 1, 64)], dim=2))
    assert features.padding == Padding((64, 64), (33, 64))
    bottom = torch.tensor([-1.0, 1.0]).view(1, 1, 2, 1)
    embed, _ = PooledEmbedder()(encoder, features, image, proposals(bottom.expand(-1, -1, -1, 2)))
    place = 1.5 * 33 / 64 - 0.5  # of the centre of the lower half, in cells of the padded input
    upper, lower = features.levels[0][0].mean(2).unbind(1)
    cell = torch.lerp(upper, lower, place)[None, :, None, None]
    visual = encoder.clip.visual
    torch.testing.assert_close(embed[0], visual.head(visual.trunk.forward_head(cell)))


def test_the_last_stage_is_needed(clip_file):
    encoder = OpenCLIPConvNeXtEncoder(clip_file, levels=(0, 1)).eval()
    features = encoder.encode_image(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match=r"last stage among the levels.*finer by \(8, 4\)"):
        PooledEmbedder()(encoder, features, torch.zeros(1), proposals(torch.zeros(1, 1, 2, 2)))

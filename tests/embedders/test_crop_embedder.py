"""Crops of regions through CLIP, against slices, `interpolate` and the tower's ordinary pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from ovss.embedders import CropEmbedder
from ovss.encoders import OpenCLIPEncoder
from ovss.layers.class_token import embed_with_mask_prompts
from ovss.structures import Padding, Proposals
from ovss.testing.tiny import make_images

SIZE = (70, 90)
PADDING = Padding((96, 96), SIZE)
BOXES = [(5, 10, 40, 60), (0, 0, 70, 90), (30, 31, 31, 80), (12, 50, 69, 53)]
"""(top, left, bottom, right), the latter two exclusive; the third has one row."""


@pytest.fixture(scope="module")
def encoder() -> OpenCLIPEncoder:
    return OpenCLIPEncoder("mini_clip", "mini_clip", image_size=64).eval()


def logits(padding: Padding | None = PADDING) -> Tensor:
    """Masks (1, 5, H, W) of the boxes, and an empty one."""
    height, width = padding.padded if padding else SIZE
    mask_1QHW = torch.full((1, len(BOXES) + 1, height, width), -9.0)
    for mask_HW, (top, left, bottom, right) in zip(mask_1QHW[0], BOXES):
        mask_HW[top:bottom, left:right] = 9.0
    return mask_1QHW


def proposals(mask_BQhw: Tensor, padding: Padding | None = PADDING) -> Proposals:
    shape = mask_BQhw.shape[:2]
    return Proposals(
        mask_BQhw, torch.zeros(*shape, 0, 128), torch.ones(shape).bool(), padding=padding
    )


def image() -> Tensor:
    return make_images(1, 90)[:, :, : SIZE[0]]


def pixels(encoder: OpenCLIPEncoder) -> Tensor:
    return (image() - encoder.mean_311) / encoder.std_311


@pytest.mark.parametrize("padding", [PADDING, None])
@torch.no_grad()
def test_embeddings_are_those_of_resized_slices(encoder, padding):
    found_BQC, filled_BQ = CropEmbedder()(
        encoder, None, image(), proposals(logits(padding), padding)
    )
    assert filled_BQ.tolist() == [[True] * len(BOXES) + [False]]
    assert found_BQC.isfinite().all()
    for embed_C, (top, left, bottom, right) in zip(found_BQC[0], BOXES):
        slice_13hw = pixels(encoder)[:, :, top:bottom, left:right]
        crop = F.interpolate(slice_13hw, size=(64, 64), mode="bicubic", align_corners=False)
        back = crop * encoder.std_311 + encoder.mean_311
        expected_C = encoder.encode_image(back).pooled_BC[0]
        assert F.cosine_similarity(embed_C, expected_C, 0) > 1 - 1e-5


@torch.no_grad()
def test_averaged_embeddings_are_those_of_roi_align_on_the_padded_image(encoder):
    found_BQC, _ = CropEmbedder(resize="average")(encoder, None, image(), proposals(logits()))
    padded = F.pad(pixels(encoder), (0, 6, 0, 26))
    for index, (top, left, bottom, right) in enumerate(BOXES):
        mask_HW = logits()[0, index] > 0
        box = [0, left, top, right - 1, bottom - 1]
        if (right - left - 1) * (bottom - top - 1) == 0:
            box = [0, 0, 0, 96, 96]  # the whole padded image
        crop = roi_align(padded * mask_HW, torch.tensor([box]).float(), 64, aligned=True)
        expected_C = embed_with_mask_prompts(encoder.clip.visual, crop)[0]
        assert torch.allclose(found_BQC[0, index], expected_C, atol=1e-4)


@torch.no_grad()
def test_neither_chunks_nor_batch_mates_nor_invalid_proposals_change_anything(encoder):
    other = logits().flip(1)
    other[0, 2] = torch.nan
    both = proposals(torch.cat([logits(), other]))
    images = torch.cat([image(), image().flip(2)])
    found_BQC, filled_BQ = CropEmbedder(chunk=2)(encoder, None, images, both)
    alone_BQC, _ = CropEmbedder(chunk=20)(encoder, None, image(), proposals(logits()))
    assert torch.allclose(found_BQC[:1], alone_BQC, atol=1e-5)
    assert found_BQC.isfinite().all()
    assert filled_BQ[1].tolist() == [False, True, False, True, True]


@torch.no_grad()
def test_the_class_token_without_prompts_is_the_ordinary_one(encoder):
    small = make_images(2, 64)
    own = (small - encoder.mean_311) / encoder.std_311
    found_BC = embed_with_mask_prompts(encoder.clip.visual, own)
    assert torch.allclose(found_BC, encoder.encode_image(small).pooled_BC, atol=1e-4)


@torch.no_grad()
def test_mask_prompts_replace_hidden_patches_only(encoder):
    embedder = CropEmbedder(mask_prompts=(3, 64, 192))
    torch.nn.init.normal_(embedder.prompt_LND)
    full = proposals(logits()[:, 1:2])
    with_prompts, _ = embedder(encoder, None, image(), full)
    without, _ = CropEmbedder()(encoder, None, image(), full)
    assert torch.allclose(with_prompts, without, atol=1e-5), "every patch is visible"
    holed = logits()[:, 1:2].clone()
    holed[:, :, 20:50, 20:50] = -9.0
    other, _ = embedder(encoder, None, image(), proposals(holed))
    plain, _ = CropEmbedder()(encoder, None, image(), proposals(holed))
    assert not torch.allclose(other, plain, atol=1e-2)
    changed = image().clone()
    changed[:, :, 22:48, 22:48] += 50
    again, _ = embedder(encoder, None, changed, proposals(holed))
    assert torch.equal(again, other), "hidden pixels are not seen"


def test_prompts_train_only_if_asked(encoder):
    assert not CropEmbedder(mask_prompts=(3, 64, 192)).prompt_LND.requires_grad
    embedder = CropEmbedder(mask_prompts=(2, 64, 192), trainable=True)
    holed = logits()
    holed[:, :2, 20:50, 20:50] = -9.0
    found_BQC, _ = embedder(encoder, None, image(), proposals(holed))
    found_BQC.sum().backward()
    assert embedder.prompt_LND.grad.abs().sum() > 0


@torch.no_grad()
def test_an_empty_mask_costs_no_pass(encoder, monkeypatch):
    counts = []

    def count(visual, crops, *rest):
        counts.append(len(crops))
        return embed_with_mask_prompts(visual, crops, *rest)

    monkeypatch.setattr("ovss.embedders.crops.embed_with_mask_prompts", count)
    empty = torch.full_like(logits(), -9.0)
    some = proposals(torch.cat([empty, logits()], dim=1))
    found_BQC, filled_BQ = CropEmbedder(chunk=3)(encoder, None, image(), some)
    assert counts == [3, 1]
    assert filled_BQ[0].tolist() == [False] * 5 + [True] * 4 + [False]
    assert torch.equal(found_BQC[0].any(1), filled_BQ[0])
    counts.clear()
    assert not CropEmbedder()(encoder, None, image(), proposals(empty))[0].any()
    assert not counts
    CropEmbedder(resize="average")(encoder, None, image(), some)
    assert counts == [10], "a blank crop counts in ZegFormer's ensemble"


def test_bad_options(encoder):
    for options in (dict(resize="nearest"), dict(threshold=1.0), dict(mask_prompts=(3, 4))):
        with pytest.raises(ValueError, match="CropEmbedder expects"):
            CropEmbedder(**options)
    with pytest.raises(ValueError, match=r"expects 64 patches of width 192.*got \(49, 192\)"):
        CropEmbedder(mask_prompts=(3, 49, 192))(encoder, None, image(), proposals(logits()))

"""PACL: similarity from patches, contrast, overlapping patches."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.pacl import PatchAlignedHead, PatchContrastive
from ovss_plugins.pacl.loss import compatibility, contrast

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.vit import embed_patches
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures


def test_similarity_of_image_and_text():
    """A softmax of the patches' own cosines weighs them."""
    cosine = torch.tensor([0.2, -0.1, 0.6, 0.0])
    weights = [math.exp(5 * float(c)) for c in cosine]
    expected = sum(w * float(c) for w, c in zip(weights, cosine, strict=True)) / sum(weights)
    found = compatibility(cosine.view(1, 1, 2, 2), sharpness=5.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_contrast_is_the_usual_loss_with_one_positive():
    logits = torch.randn(4, 6)
    own = torch.tensor([2, 0, 5, 1])
    expected = F.cross_entropy(logits, own)
    found = contrast(logits, F.one_hot(own, 6).bool(), torch.ones(4, 6, dtype=torch.bool))
    torch.testing.assert_close(found, expected)


def test_positives_do_not_compete_and_uncounted_pairs_take_no_part():
    logits = torch.tensor([[1.0, 2.0, 0.5, 9.0]], requires_grad=True)
    positive = torch.tensor([[True, True, False, False]])
    counted = torch.tensor([[True, True, True, False]])
    loss = contrast(logits, positive, counted)
    expected = (math.log1p(math.exp(0.5 - 1)) + math.log1p(math.exp(0.5 - 2))) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad[0, 3] == 0
    alone = contrast(logits, torch.ones_like(positive), torch.ones_like(positive))
    assert torch.isfinite(torch.autograd.grad(alone, logits)[0]).all()


def test_the_loss_reads_which_categories_an_image_has_and_not_where():
    torch.manual_seed(0)
    masks = Masks(torch.randn(2, 5, 4, 4), Selection.everything(2, 5))
    labels = torch.randint(-1, 5, (2, 8, 8))
    shuffled = labels.flatten(1)[:, torch.randperm(64)].view_as(labels)
    criterion = PatchContrastive(scale=1.0)
    one, other = criterion(masks, labels), criterion(masks, shuffled)
    assert set(one) == {"loss_image", "loss_text"}
    for name in one:
        torch.testing.assert_close(one[name], other[name])
    blank = criterion(masks, torch.full_like(labels, -1))
    assert all(float(loss) == 0 for loss in blank.values())


def test_head_reads_the_level_or_the_dense_tokens():
    image = ImageFeatures(torch.randn(1, 8, 3, 4), torch.randn(1, 8), (torch.randn(1, 6, 3, 4),))
    text = TextFeatures(F.normalize(torch.randn(5, 2, 8), dim=-1))
    for head in (PatchAlignedHead(8, 6), PatchAlignedHead(8, embed_text=True)):
        cost = head(image, text, Selection.everything(1, 5)).cost_BKDhw
        assert cost.shape == (1, 5, 1, 3, 4)
        assert cost.abs().max() <= 1 + 1e-5
    patches = PatchAlignedHead(8, 6, norm=False).patches
    x = torch.randn(2, 6)
    expected = patches.second(patches.first(x).relu()) + patches.shortcut(x)
    torch.testing.assert_close(patches(x), expected)


@pytest.fixture(scope="module")
def encoder() -> OpenCLIPEncoder:
    return OpenCLIPEncoder("mini_clip", image_size=32, stride=2).eval()


@torch.no_grad()
def test_overlapping_patches_are_centred_on_their_cells(encoder):
    """Cell (2 i, 2 j) of a grid of half the stride starts half a cell before patch (i, j)."""
    visual, patch = encoder.clip.visual, encoder.patch_size[0]
    pixels = torch.randn(1, 3, 32, 32)
    tokens, grid = embed_patches(visual, pixels, stride=patch // 2)
    assert grid == (2 * 32 // patch, 2 * 32 // patch)
    border = patch // 4
    padded = F.pad(pixels, (border, border, border, border))
    row, column = 3, 5
    y, x = row * patch // 2, column * patch // 2
    window = padded[:, :, y : y + patch, x : x + patch]
    alone = visual.conv1(window).flatten()
    place = visual.positional_embedding[1:].T.unflatten(1, visual.grid_size)[None]
    places = F.interpolate(place, grid, mode="bicubic", align_corners=False)
    expected = visual.ln_pre(alone + places[0, :, row, column])
    found = tokens[0, 1 + row * grid[1] + column]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_stride_of_the_encoder_is_for_inference(encoder):
    images = torch.rand(1, 3, 32, 32) * 255
    cells = 32 // encoder.patch_size[0]
    finer = encoder.patch_size[0] // 2
    assert encoder.encode_image(images).dense_BChw.shape[-1] == cells * finer
    assert encoder.train().encode_image(images).dense_BChw.shape[-1] == cells
    encoder.eval()
    same = OpenCLIPEncoder("mini_clip", image_size=32, stride=encoder.patch_size[0])
    same.load_state_dict(encoder.state_dict())
    encoder.stride = None
    expected = encoder.encode_image(images).dense_BChw
    torch.testing.assert_close(same.eval().encode_image(images).dense_BChw, expected)


def test_stride_must_divide_the_patch():
    with pytest.raises(ValueError, match="stride must divide the patch size"):
        OpenCLIPEncoder("mini_clip", stride=3)

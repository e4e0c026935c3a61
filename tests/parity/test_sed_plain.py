"""The SED decoder against the plain one: same numbers, whatever the batch, size and rejection."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.sed import GradualDecoder
from ovss_plugins.sed.convert import decoder_table, own_before_guide
from plain_cat_seg import formula_weights
from plain_convnext import dense_features
from plain_sed import logits, published_state, rejected
from torch import Tensor

from ovss.encoders import OpenCLIPConvNeXtEncoder
from ovss.heads.cosine import CosineHead
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures

JOINT, LEVELS, PROMPTS = 32, (8, 12, 16), 5


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Weights under the published names, narrower than the real ones where the encoder decides."""
    shapes = GradualDecoder(LEVELS, PROMPTS).state_dict()
    names = {
        name: list(shapes[ours.removeprefix("decoder.")].shape)
        for name, ours in decoder_table().items()
    }
    return formula_weights(names)


@pytest.fixture(scope="module")
def decoder(published) -> GradualDecoder:
    decoder = GradualDecoder(LEVELS, PROMPTS, chunk=5)
    state = {}
    for name, ours in decoder_table().items():
        value = published[name]
        if ours.endswith("conv1.weight"):
            value = own_before_guide(value, value.shape[0] // 2)
        state[ours.removeprefix("decoder.")] = value
    decoder.load_state_dict(state)
    return decoder.eval()


def features(batch: int, categories: int, side: int) -> tuple[ImageFeatures, TextFeatures]:
    generator = torch.Generator().manual_seed(side + categories)
    sides = (side, 8 * side, 4 * side, 2 * side)
    dense, *levels = (
        torch.randn(batch, channels, size, size, generator=generator)
        for channels, size in zip((JOINT, *LEVELS), sides)
    )
    text = F.normalize(torch.randn(categories, PROMPTS, JOINT, generator=generator), dim=-1)
    return ImageFeatures(dense, dense.mean((2, 3)), tuple(levels)), TextFeatures(text)


def ours(decoder: GradualDecoder, image: ImageFeatures, text: TextFeatures) -> Masks:
    batch, categories = len(image.dense_BChw), len(text.embeds_TPC)
    return decoder(CosineHead(PROMPTS)(image, text, Selection.everything(batch, categories)))


def deep_first(image: ImageFeatures) -> list[Tensor]:
    return list(reversed(image.levels))


def test_the_way_back_to_published_names(decoder, published):
    own = {f"decoder.{name}": value for name, value in decoder.state_dict().items()}
    back = published_state(own)
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], published[name]) for name in published)


@pytest.mark.parametrize(
    ("batch", "categories", "side", "pool"),
    [(2, 3, 6, 1), (2, 7, 4, 2), (1, 40, 3, 2), (1, 1, 5, 1), (1, 13, 2, 2)],
)
@torch.inference_mode()
def test_same_outputs(decoder, published, batch, categories, side, pool, monkeypatch):
    image, text = features(batch, categories, side)
    expected = logits(published, image.dense_BChw, deep_first(image), text.embeds_TPC, pool)
    monkeypatch.setattr(decoder, "pool", (pool, pool))
    torch.testing.assert_close(
        ours(decoder, image, text).logits_BKHW, expected[0], atol=1e-4, rtol=0
    )
    try:
        masks = ours(decoder.train(), image, text)
    finally:
        decoder.eval()
    for found, plain in zip((masks.logits_BKHW, *masks.aux), expected, strict=True):
        torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("categories", "k"), [(12, 1), (60, 1), (60, 2), (60, 8)])
@torch.inference_mode()
def test_the_same_survivors_and_probabilities(decoder, published, categories, k, monkeypatch):
    """Of two images at once, each of which the plain implementation sees alone."""
    image, text = features(2, categories, 3)
    monkeypatch.setattr(decoder, "top_k", k)
    masks = ours(decoder, image, text)
    probs_BTHW = masks.selection.scatter(
        masks.logits_BKHW.sigmoid() * masks.selection.valid_BK[:, :, None, None]
    )
    for i in range(2):
        levels = [level[i : i + 1] for level in deep_first(image)]
        dense = image.dense_BChw[i : i + 1]
        expected, history = rejected(published, dense, levels, text.embeds_TPC, k)
        assert masks.selection.mask()[i].nonzero().flatten().tolist() == history[-1]
        assert k == 8 or len(history[0]) < categories
        torch.testing.assert_close(probs_BTHW[i], expected, atol=1e-4, rtol=0)


def test_same_gradients(decoder, published):
    """In double precision: no ReLU falls on the other side of zero. Of the final output alone, and
    of all four, for which the rule of detached maps matters."""
    decoder = copy.deepcopy(decoder).double().train()
    published = {name: value.double() for name, value in published.items()}
    image, text = features(2, 3, 4)
    dense, words = (x.double().requires_grad_() for x in (image.dense_BChw, text.embeds_TPC))
    levels = tuple(level.double() for level in image.levels)
    image = ImageFeatures(dense, dense.mean((2, 3)), levels)
    loss = ours(decoder, image, TextFeatures(F.normalize(words, dim=-1))).logits_BKHW
    mine = torch.autograd.grad(loss.square().mean(), [dense, words])
    loss = logits(published, dense, list(reversed(levels)), F.normalize(words, dim=-1), 2)[0]
    plain = torch.autograd.grad(loss.square().mean(), [dense, words])
    for one, other in zip(mine, plain):
        torch.testing.assert_close(one, other, atol=1e-9 * float(other.abs().max()), rtol=0)


def test_the_plain_tower_gives_the_features_of_the_encoder():
    """Comparisons of speed are with the whole path of the authors, the image tower included."""
    encoder = OpenCLIPConvNeXtEncoder("convnext_base", levels=(0, 1, 2)).eval()
    image = 255 * torch.rand(1, 3, 64, 96)
    state = {key.removeprefix("clip.visual."): x for key, x in encoder.state_dict().items()}
    with torch.no_grad():
        found = encoder.encode_image(image)
        dense, outputs = dense_features(state, (image - encoder.mean_311) / encoder.std_311)
    torch.testing.assert_close(found.dense_BChw, dense, rtol=1e-4, atol=1e-5)
    for stage, level in enumerate(found.levels):
        torch.testing.assert_close(level, outputs[stage], rtol=1e-4, atol=1e-5)

"""The fast CAT-Seg decoder against the plain one: same numbers, whatever the batch and the size."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.cat_seg import CATSegDecoder
from ovss_plugins.cat_seg.convert import aggregator_table
from plain_cat_seg import formula_weights, logits
from torch import Tensor

from ovss.heads.cosine import CosineHead
from ovss.selectors.clip_top_k import ClipTopK
from ovss.structures import ImageFeatures, TextFeatures

JOINT, LEVELS = 64, (48, 40)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Weights under the published names, narrower than the real ones where the encoder decides."""
    decoder = CATSegDecoder(JOINT, LEVELS)
    shapes = decoder.state_dict()
    names = {}
    for name, ours in aggregator_table().items():
        shape = list(shapes[ours.removeprefix("decoder.")].shape)
        names[name] = [1, 1, *shape] if "padding_" in name else shape
    return formula_weights(names)


@pytest.fixture(scope="module")
def decoder(published) -> CATSegDecoder:
    decoder = CATSegDecoder(JOINT, LEVELS, chunk=5)
    table = aggregator_table()
    own = decoder.state_dict()
    decoder.load_state_dict(
        {
            (name := table[key].removeprefix("decoder.")): value.reshape(own[name].shape)
            for key, value in published.items()
        }
    )
    return decoder.eval()


def features(batch: int, categories: int, side: int) -> tuple[ImageFeatures, TextFeatures]:
    generator = torch.Generator().manual_seed(side + categories)
    dense, *levels = (
        torch.randn(batch, channels, side, side, generator=generator)
        for channels in (JOINT, *LEVELS)
    )
    text = F.normalize(torch.randn(categories, 1, JOINT, generator=generator), dim=-1)
    return ImageFeatures(dense, dense.mean((2, 3)), tuple(levels)), TextFeatures(text)


def ours(decoder: CATSegDecoder, image: ImageFeatures, text: TextFeatures) -> Tensor:
    """Logits of all T categories, -100 where not kept."""
    selection = ClipTopK(256).eval()(image, text)
    masks = decoder(CosineHead()(image, text, selection))
    return masks.selection.scatter(masks.logits_BKHW, fill=-100)


CASES = [(2, 3, 24, 2), (2, 4, 12, 1), (1, 300, 12, 2), (1, 1, 12, 1)]


@pytest.mark.parametrize(("batch", "categories", "side", "pool"), CASES)
@torch.inference_mode()
def test_same_logits_as_the_plain_implementation(
    decoder, published, batch, categories, side, pool, monkeypatch
):
    monkeypatch.setattr(decoder, "pool", (pool, pool))
    image, text = features(batch, categories, side)
    expected = logits(published, image.dense_BChw, list(image.levels), text.embeds_TPC, pool)
    torch.testing.assert_close(ours(decoder, image, text), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_same_logits_for_more_than_256_categories_full_grid(decoder, published):
    image, text = features(2, 300, 24)
    expected = logits(published, image.dense_BChw, list(image.levels), text.embeds_TPC, 1)
    torch.testing.assert_close(ours(decoder, image, text), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_tie_of_the_truncation_is_no_matter(decoder):
    """Equal names give equal maps, whichever of them is kept."""
    image, text = features(1, 40, 12)
    text = TextFeatures(text.embeds_TPC.repeat(8, 1, 1))
    found = ours(decoder, image, text)[0].view(8, 40, 48, 48)
    kept = found[:, :, 0, 0] > -100
    assert kept.sum() == 256
    for category in range(40):
        maps = found[kept[:, category], category]
        torch.testing.assert_close(maps, maps[:1].expand_as(maps), atol=1e-5, rtol=0)


def test_same_gradients_as_the_plain_implementation(decoder, published):
    """In double precision: no ReLU falls on the other side of zero."""
    decoder = copy.deepcopy(decoder).double().train()
    published = {name: value.double() for name, value in published.items()}
    image, text = features(2, 3, 12)
    dense, *levels, words = (
        leaf.double().requires_grad_()
        for leaf in (image.dense_BChw, *image.levels, text.embeds_TPC)
    )
    image = ImageFeatures(dense, dense.mean((2, 3)), tuple(levels))
    gradients = []
    for run in (
        lambda text: ours(decoder, image, TextFeatures(text)),
        lambda text: logits(published, dense, levels, text, 2),
    ):
        loss = run(F.normalize(words, dim=-1)).square().mean()
        gradients.append(torch.autograd.grad(loss, [dense, *levels, words]))
    for mine, plain in zip(*gradients):
        torch.testing.assert_close(mine, plain, atol=1e-9 * float(plain.abs().max()), rtol=0)

"""The SAN encoder against the plain one: numbers and gradients for any size, in training too."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.san import SANEncoder
from ovss_plugins.san.convert import official_table
from plain_san import Sizes, proposals, published, scores
from torch import Tensor

from ovss.inference import best_labels
from ovss.models.build import build_model
from ovss.ops import resize
from ovss.structures import Padding, TextFeatures

SIZES = Sizes(4, 8, 0.5, {0: 0, 1: 1, 2: 2}, 2, 8, 5, (3, 4))
TABLE = official_table(2, 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("san") / "tiny.json"
    vision = {"image_size": 32, "layers": 4, "width": 32, "head_width": 8, "patch_size": 8}
    text = {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    path.write_text(json.dumps(config))
    torch.manual_seed(0)
    encoder = dict(
        type="SANEncoder", model=str(path), split=2, fusion=((0, 0), (1, 1), (2, 2)), queries=7,
        width=24, depth=4, heads=2, patch=8, grid=5, mask_dim=12, supervised=(3, 4), divisor=16,
        text_cache="off",
    )  # fmt: skip
    model = build_model(
        dict(
            encoder=encoder,
            head=dict(type="RegionHead", joint_dim=16),
            decoder=dict(type="ComposeDecoder"),
            inference=dict(activation="none"),
        )
    )
    for parameter in model.encoder.parameters():  # livelier than an untrained network
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    torch.nn.init.normal_(model.encoder.side.queries)
    torch.nn.init.constant_(model.encoder.masks.bias_scale.weight, 2.0)
    return model.eval()


def plain(encoder: SANEncoder, image: Tensor, training: bool) -> list[tuple]:
    state = published({f"encoder.{k}": v for k, v in encoder.state_dict(keep_vars=True).items()},
                      TABLE)  # fmt: skip
    pixels = (image - encoder.mean_311) / encoder.std_311
    pixels = F.pad(pixels, (0, -image.shape[3] % 16, 0, -image.shape[2] % 16))
    return proposals(state, pixels.to(encoder.side.queries), SIZES, training)


def photos(height: int, width: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return resize(torch.rand(batch, 3, 9, 9, generator=generator) * 255, (height, width))


@pytest.mark.parametrize("size", [(48, 80), (33, 47), (40, 40), (16, 200)])
def test_proposals_of_images_of_any_size(model, size):
    image = photos(*size)
    with torch.inference_mode():
        found = model.encoder.encode_image(image).proposals
        (masks, _, embeds), *rest = plain(model.encoder, image, training=False)
    assert not rest
    assert not found.earlier
    assert found.padding == Padding(tuple(side + -side % 16 for side in size), size)
    assert torch.allclose(found.mask_BQhw, masks, atol=1e-5 * float(masks.abs().max()))
    assert torch.allclose(F.normalize(found.embed_BQSC[:, :, 0], dim=2), embeds, atol=1e-5)


def test_both_taps_train_with_the_gradients_of_the_plain_form(model):
    encoder, image = model.encoder, photos(48, 80)
    encoder.double().train()
    try:
        last = encoder.encode_image(image.double()).proposals
        found = [*last.earlier, last]
        expected = plain(encoder, image.double(), training=True)
        weights = [p for p in encoder.parameters() if p.requires_grad]
        ours, theirs = [], []
        for one, (masks, _, embeds) in zip(found, expected, strict=True):
            unit = F.normalize(one.embed_BQSC[:, :, 0], dim=2)
            assert torch.allclose(one.mask_BQhw, masks, rtol=1e-5, atol=1e-6)
            assert torch.allclose(unit, embeds, atol=1e-6)
            ours.append(one.mask_BQhw.sigmoid().mean() + (unit * unit.roll(1, 2)).sum())
            theirs.append(masks.sigmoid().mean() + (embeds * embeds.roll(1, 2)).sum())
        gradients = torch.autograd.grad(sum(ours), weights)
        others = torch.autograd.grad(sum(theirs), weights)
    finally:
        encoder.float().eval()
    assert len(weights) == len([n for n, _ in encoder.named_parameters() if "clip." not in n]) + 1
    for one, other in zip(gradients, others, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()) + 1e-9)


def test_label_maps(model):
    image = photos(33, 47, batch=1)
    embeds = F.normalize(torch.randn(6, 1, 16, generator=torch.Generator().manual_seed(5)), dim=2)
    with torch.inference_mode():
        labels_BHW, best_BHW = best_labels(model.scores(image[0], TextFeatures(embeds)), (60, 70))
        masks, _, unit = plain(model.encoder, image, training=False)[0]
        void = model.head.void
        merged = scores(masks, unit, embeds[:, 0], void, (48, 48), (33, 47), (60, 70))
    assert torch.allclose(best_BHW[0], merged.amax(0), atol=1e-4)
    assert (labels_BHW[0] == merged.argmax(0)).float().mean() > 0.999

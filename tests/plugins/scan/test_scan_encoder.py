"""The encoder of SCAN at small sizes: regions against plain formulas, batches, training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.scan.context import LowFrequencyFilter

from ovss.layers.patches import embed_patches
from ovss.layers.region_tokens import run_block
from ovss.models.build import build_model
from ovss.structures import Padding
from ovss.testing.tiny import make_images, make_names, make_sample

REGIONS = dict(replaced=(1, 3), threshold=0.5, ratio=0.4)
SMALL = dict(
    type="SCANEncoder",
    model="mini_clip",
    backbone=dict(type="Swin", dim=16, depths=(1, 2, 1, 1), heads=(1, 2, 2, 2), window=4),
    taps=(2, 4, 6),
    queries=5,
    dim=64,
    heads=4,
    pixel_layers=1,
    pixel_feedforward=64,
    layers=4,
    feedforward=64,
    supervised=3,
    hidden=32,
    context=dict(layers=2, heads=4, feedforward=32),
)


def small_model(regions=REGIONS, **encoder):
    torch.manual_seed(0)
    return build_model(
        dict(
            encoder=SMALL | encoder | dict(regions=regions),
            head=dict(
                type="RegionHead",
                joint_dim=128,
                scales=(100.0, 100.0),
                ensemble=dict(
                    seen=(0.3, 0.7),
                    unseen=(0.3, 0.7),
                    softmax=("void", "categories"),
                    renormalize=False,
                    empty="one",
                ),
            ),
            decoder=dict(type="ComposeDecoder", merge_at_input=True),
            criterion=dict(type="set_matching", points=64),
            inference=dict(activation="none"),
        )
    )


@pytest.fixture(scope="module")
def model():
    return small_model().eval()


@pytest.fixture(scope="module")
def case():
    """Images, and masks on the padded input of which some are empty."""
    torch.manual_seed(1)
    images = make_images(2, 96)[:, :, :70, :90]
    mask_BQhw = F.interpolate(torch.randn(2, 5, 4, 4), (24, 24), mode="bilinear") * 3
    mask_BQhw[0, 2] = mask_BQhw[1, 4] = -5
    mask_BQhw[0, 3] = 5
    return images, mask_BQhw, Padding((96, 96), (70, 90))


def class_tokens(encoder, images):
    """Class tokens of the whole images after the blocks of `replaced`."""
    pixels = F.pad((images - encoder.mean_311) / encoder.std_311, (0, 6, 0, 26))
    inner, _ = encoder.inner_tokens(pixels)
    return [inner[block][:, 0] for block in encoder.regions.replaced]


def run_regions(encoder, case, part=slice(None)):
    images, mask_BQhw, padding = case
    tokens = [token_BD[part] for token_BD in class_tokens(encoder, images)]
    return encoder.regions(
        images[part], encoder.mean_311, encoder.std_311, mask_BQhw[part], padding, tokens
    )


def written_out(encoder, case, image, number, order_RP):
    """Embedding of one region, patch by patch."""
    images, mask_BQhw, _ = case
    logits = F.interpolate(mask_BQhw[image, number][None, None], (96, 96), mode="bilinear")
    inside = (logits[0, 0, :70, :90].sigmoid() > encoder.regions.threshold).numpy()
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = np.ix_(range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1))
    mask = torch.from_numpy(inside[box]).float()
    pixels = images[image].permute(1, 2, 0).numpy()[box]
    mean = encoder.mean_311.flatten()
    crop = torch.from_numpy(pixels) * mask[..., None] + mean * (1 - mask[..., None])
    crop = ((crop - mean) / encoder.std_311.flatten()).permute(2, 0, 1)[None]
    crop = F.interpolate(crop, (64, 64), mode="bicubic")
    mask = F.interpolate(mask[None, None], (64, 64))[0, 0]
    outside = [
        i for i in range(64)
        if not mask[i // 8 * 8 : i // 8 * 8 + 8, i % 8 * 8 : i % 8 * 8 + 8].any()
    ]  # fmt: skip
    visual = encoder.regions.visual
    tokens, _ = embed_patches(visual, crop)
    whole = dict(zip(encoder.regions.replaced, class_tokens(encoder, images), strict=True))
    for index, block in enumerate(visual.transformer.resblocks, 1):
        tokens = run_block(block, tokens).clone()
        if index in whole:
            order_P = order_RP[list(whole).index(index)]
            first = sorted(outside, key=lambda i, order_P=order_P: order_P[i])
            for i in first[: int(encoder.regions.ratio * len(outside))]:
                tokens[0, 1 + i] = whole[index][image]
    return visual.ln_post(tokens[0, 0]) @ visual.proj


@pytest.mark.parametrize("order", ["seeded", "raster"])
def test_regions_with_replaced_patches(order, case):
    encoder = small_model(regions=dict(REGIONS, order=order)).eval().encoder
    with torch.inference_mode():
        embed_BQC, filled_BQ = run_regions(encoder, case)
        assert filled_BQ.tolist() == [[True, True, False, True, True], [True] * 4 + [False]]
        assert not embed_BQC[~filled_BQ].any()
        for image, number in ((0, 0), (0, 3), (1, 1), (1, 3)):
            order_RP = encoder.regions.order_RQP[:, number]
            if order == "raster":
                assert torch.equal(order_RP, torch.arange(64.0).expand(2, -1))
            expected_C = written_out(encoder, case, image, number, order_RP.tolist())
            found_C = embed_BQC[image, number]
            torch.testing.assert_close(found_C, expected_C, atol=1e-4, rtol=1e-4)


def test_regions_do_not_depend_on_batch_mates_chunks_or_repetition(model, case):
    with torch.inference_mode():
        together, filled_BQ = run_regions(model.encoder, case)
        alone, _ = run_regions(model.encoder, case, slice(1, 2))
        torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)
        single = small_model(regions=dict(REGIONS, chunk=1)).eval()
        torch.testing.assert_close(run_regions(single.encoder, case)[0], together)
        other = small_model(regions=dict(REGIONS, seed=1)).eval()
        difference_BQ = (run_regions(other.encoder, case)[0] - together).abs().amax(2)
        assert (difference_BQ[filled_BQ] > 1e-3).sum() >= 6  # the whole image has nothing outside
        assert difference_BQ[0, 3] == 0


def test_without_replacement_a_region_is_a_plain_image(case):
    encoder = small_model(regions=dict(REGIONS, ratio=0.0, threshold=0.01)).eval().encoder
    images, mask_BQhw, padding = case
    with torch.inference_mode():
        whole = (images, torch.full_like(mask_BQhw, 9.0), padding)
        embed_BQC, _ = run_regions(encoder, whole)
        pixels = (images - encoder.mean_311) / encoder.std_311
        tokens, _ = embed_patches(
            encoder.clip.visual, F.interpolate(pixels, (64, 64), mode="bicubic")
        )
        for block in encoder.clip.visual.transformer.resblocks:
            tokens = run_block(block, tokens)
        expected = encoder.clip.visual.ln_post(tokens[:, 0]) @ encoder.clip.visual.proj
    torch.testing.assert_close(embed_BQC[:, 2], expected, atol=1e-4, rtol=1e-4)


def test_images_without_any_region_are_segmented():
    model = small_model(regions=dict(REGIONS, threshold=0.999999)).eval()
    text = model.encode_vocabulary(make_names(3))
    with torch.inference_mode():
        features = model.encoder.encode_image(make_images(2))
        assert not features.proposals.filled_BQ.any()
        shares_BKQ = model.segment(features, text).share_BKQ
        first = replace(features.proposals, filled_BQ=None)
        logits_BKQ, void_BQ = model.head._logits(
            first.embed_BQSC, 0, text.mean_TC[None].expand(2, -1, -1)
        )
    share_BRQ = torch.cat([logits_BKQ, void_BQ[:, None]], dim=1).softmax(1)
    torch.testing.assert_close(shares_BKQ, share_BRQ[:, :-1] ** 0.3, atol=1e-4, rtol=1e-4)
    scores = model.scores(make_images(1)[0], text)
    assert model.label_map(scores, (50, 60)).shape == (50, 60)


def test_an_image_is_the_same_alone_and_in_a_batch(model):
    images = make_images(3)[:, :, :70]
    with torch.inference_mode():
        together, alone = (
            model.encoder.encode_image(images),
            model.encoder.encode_image(images[1:2]),
        )
    for many, one in (
        (together.dense_BChw, alone.dense_BChw),
        (together.proposals.mask_BQhw, alone.proposals.mask_BQhw),
        (together.proposals.embed_BQSC, alone.proposals.embed_BQSC),
    ):
        torch.testing.assert_close(many[1:2], one, atol=1e-3, rtol=1e-3)
    assert together.padding == Padding((96, 96), (70, 96))
    assert together.proposals.embed_BQSC.shape == (3, 5, 2, 128)
    assert together.proposals.earlier == ()


def test_the_filter_of_frequencies():
    """Against NumPy, frequency by frequency; the middle of the spectrum is the highest."""
    torch.manual_seed(0)
    part, map_1Dhw = LowFrequencyFilter(3), torch.randn(1, 3, 6, 5)
    spectrum = np.fft.fft2(map_1Dhw[0].numpy())
    changed = np.zeros_like(spectrum)
    for y in range(6):
        for x in range(5):
            low = 1 - np.exp(-((y - 3) ** 2 + (x - 2) ** 2) / (2 * 1.5**2))
            value = spectrum[:, y, x] * low
            row = torch.tensor(np.concatenate([value.real, value.imag]), dtype=torch.float32)
            out = part.contract(part.expand(row).relu()).detach().numpy()
            changed[:, y, x] = out[:3] + 1j * out[3:]
    expected = map_1Dhw[0].numpy() + np.fft.ifft2(changed).real
    found = part(map_1Dhw, 1.5)[0].detach().numpy()
    assert np.allclose(found, expected, atol=1e-5)


def test_training_reaches_what_trains_and_nothing_else():
    model = small_model().train()
    losses = model(make_images(2), [make_sample(4), make_sample(4)], mode="loss")
    layers = ("", "_0", "_1", "_2")  # of five predictions, the last but one does not train
    assert set(losses) == {f"loss_{p}{i}" for p in ("class", "mask", "dice") for i in layers}
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(n.startswith(("encoder.clip.", "encoder.regions.visual.")) for n in frozen)
    assert all(p.grad is None for n, p in model.named_parameters() if n in frozen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(taps=(2, 4)), "one of sigmas above 0 for each of taps"),
        (dict(taps=(2, 4, 7)), r"taps names blocks \[2, 4, 7\], but CLIP has 1\.\.6"),
        (dict(sigmas=(9.0, 0.0, 3.0)), "sigmas above 0"),
        (dict(supervised=5), "supervised must be 0 to 4"),
        (dict(regions=dict(order="random")), "order of seeded or raster"),
        (dict(regions=dict(threshold=1.0)), "threshold and ratio"),
        (dict(regions=dict(replaced=(0,))), r"blocks \[0\], but the tower has blocks 1 to 6"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)

"""Methods that compare regions: records, merging, and the laws of a small composition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData

import ovss.layers.region_maps
from ovss.axes import take
from ovss.inference import InferenceConfig, best_labels, dense_scores
from ovss.layers.region_maps import region_maps
from ovss.models.build import build_model
from ovss.ops import crop_padding, resize, resize_rows, source_rows
from ovss.segmentor import padded_labels
from ovss.structures import (
    IGNORE,
    ImageFeatures,
    Padding,
    Proposals,
    RegionMasks,
    RegionScores,
    Selection,
    TextFeatures,
)
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_names, make_sample

ENSEMBLE = dict(seen=(0.6, 0.4), unseen=(0.2, 0.8), softmax=("void", "categories"))


def region_model(**head):
    torch.manual_seed(0)
    sources = len(head.get("scales", (1,)))
    return build_model(
        dict(
            encoder=dict(type="TinyEncoder", proposals=6, sources=sources),
            head=dict(type="RegionHead", joint_dim=16, **head),
            decoder=dict(type="ComposeDecoder"),
            inference=dict(activation="none"),
        )
    ).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("ensemble", [None, ENSEMBLE], ids=["one source", "ensemble"])
def test_laws(law, ensemble):
    law(region_model(scales=(20.0, 30.0), ensemble=ensemble, seen=["thing 1"]))


def random_regions(size=(7, 9), padding=None, batch=1, **changes) -> RegionMasks:
    generator = torch.Generator().manual_seed(1)
    share_BKQ = torch.rand(batch, 5, 4, generator=generator)
    mask_BQhw = 5 * torch.randn(batch, 4, *size, generator=generator)
    return RegionMasks(
        share_BKQ, mask_BQhw, Selection.everything(batch, 5), padding=padding, **changes
    )


def scores_of(masks: RegionMasks, size=(40, 50)) -> RegionScores:
    text = TextFeatures(torch.zeros(5, 1, 2))
    return RegionScores(
        masks.share_BKQ,
        masks.mask_BQhw,
        masks.selection,
        None,
        text,
        torch.zeros(1, 3, *size),
        masks.padding,
        masks.merge_at_input,
    )


@pytest.mark.parametrize("padding", [None, Padding((32, 64), (30, 41)), Padding((32, 32), (32, 9))])
@pytest.mark.parametrize("size", [(40, 50), (31, 200), (5, 4)])
@pytest.mark.parametrize("values", [1, 5_000, 1 << 24])
def test_mask_logits_are_resized_cropped_and_resized_before_the_sigmoid(
    padding, size, values, monkeypatch
):
    """The result does not depend on how many rows and categories are computed at once."""
    monkeypatch.setattr(ovss.layers.region_maps, "VALUES", values)
    masks = random_regions(padding=padding)
    logits = masks.mask_BQhw
    if padding:
        logits = resize(logits, padding.padded)[..., : padding.image[0], : padding.image[1]]
    expected = torch.einsum("bkq,bqhw->bkhw", masks.share_BKQ, resize(logits, size).sigmoid())
    assert torch.allclose(region_maps(masks, size), expected, atol=1e-5)
    labels_BHW, best_BHW = best_labels(scores_of(masks), size)
    assert torch.allclose(best_BHW, expected.amax(1), atol=1e-5)
    chosen = expected.gather(1, labels_BHW[:, None])[:, 0]
    assert torch.allclose(chosen, expected.amax(1), atol=1e-5)
    dense = dense_scores(scores_of(masks, size))
    assert torch.allclose(dense.probs_BKHW, expected, atol=1e-5)


@pytest.mark.parametrize("at_input", [False, True])
def test_autocast_changes_neither_masks_nor_their_sum(at_input):
    masks = random_regions(padding=Padding((32, 64), (30, 41)), merge_at_input=at_input)
    expected = region_maps(masks, (40, 50))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(region_maps(masks, (40, 50)), expected)
    half = replace(masks, mask_BQhw=masks.mask_BQhw.bfloat16())
    exact = replace(masks, mask_BQhw=half.mask_BQhw.float())
    assert torch.equal(region_maps(half, (40, 50)), region_maps(exact, (40, 50)))


def test_class_logits_have_single_precision_under_autocast():
    model = region_model()
    image, text = model.encoder.encode_image(make_images(1)), model.encode_vocabulary(make_names(5))
    expected = model.segment(image, text).share_BKQ
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.segment(image, text).share_BKQ, expected)


@pytest.mark.parametrize("size", [(70, 80), (30, 41), (11, 100)])
@pytest.mark.parametrize("values", [1, 5_000, 1 << 24])
def test_merging_at_the_size_of_the_input(size, values, monkeypatch):
    monkeypatch.setattr(ovss.layers.region_maps, "VALUES", values)
    masks = random_regions(padding=Padding((32, 64), (30, 41)), merge_at_input=True)
    logits = resize(masks.mask_BQhw, (32, 64))[..., :30, :41]
    merged = torch.einsum("bkq,bqhw->bkhw", masks.share_BKQ, logits.sigmoid())
    assert torch.allclose(region_maps(masks, size), resize(merged, size), atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(5, 11), (11, 5), (7, 7), (1, 6), (6, 1), (640, 333)])
def test_rows_of_a_resized_map(old, new):
    maps = torch.rand(1, 2, old, 6)
    whole = resize(maps, (new, 10))
    for start in range(new):
        for stop in {start + 1, min(start + 3, new)}:
            rows = slice(start, stop)
            needed = source_rows(old, new, rows)
            part = resize_rows(maps[:, :, needed], (new, 10), rows, old, needed.start)
            assert torch.allclose(part, whole[:, :, rows], atol=1e-4)
            assert torch.allclose(resize_rows(maps, (new, 10), rows), part, atol=1e-6)


def test_padding_is_cropped_between_cells_by_interpolation():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) + 0.5  # value = place in cells
    exact = crop_padding(ramp, Padding((64, 64), (64, 32)))
    assert torch.equal(exact, ramp[..., :4])
    between = crop_padding(ramp, Padding((64, 64), (64, 30)))
    centres = torch.tensor([0.5, *((torch.arange(1, 4) + 0.5) * 30 / 4 / 8)])
    assert torch.allclose(between[0, 0, 0], centres, atol=1e-5)


def test_records_inside_tuples_are_sliced():
    layer = Proposals(torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 1, 6), torch.ones(2, 3))
    last = Proposals(layer.mask_BQhw, layer.embed_BQSC, layer.valid_BQ, earlier=(layer, layer))
    one = take(last, B=slice(0, 1), Q=slice(0, 2))
    assert [each.mask_BQhw.shape for each in (one, *one.earlier)] == [(1, 2, 4, 5)] * 3
    image = ImageFeatures(torch.zeros(2, 6, 1, 1), torch.zeros(2, 6), proposals=last)
    assert take(image, B=slice(1, 2)).proposals.earlier[1].valid_BQ.shape == (1, 3)


@pytest.mark.parametrize("image", [(0, 5), (33, 5), (5, 65)])
def test_padding_around_nothing_is_refused(image):
    with pytest.raises(ValueError, match="Padding expects an image"):
        Padding((32, 64), image)


def test_a_category_has_the_highest_logit_of_its_synonyms_before_the_softmax():
    """FC-CLIP's rule: one logit for each category, of the synonym that fits a proposal best."""
    model = region_model(scales=(20.0,))
    names = ("thing 1, thing 2", "thing 3", "thing 4, thing 5, thing 6")
    model.prompts = type(model.prompts)(synonyms="max")
    text = model.encode_vocabulary(names)
    image = model.encoder.encode_image(make_images(2))
    selection = model.selector(image, text)
    aligned = model.head(image, text, selection)
    assert aligned.selection.index_BK.tolist() == [[0, 2, 3]] * 2
    single = model.encoder.encode_text(model.vocabulary(tuple(f"thing {i}" for i in range(1, 7))))
    alone = model.head(image, single, Selection.everything(2, 6)).logits_BKQ
    expected = torch.stack([part.amax(1) for part in alone.split([2, 1, 3], dim=1)], dim=1)
    assert torch.allclose(aligned.logits_BKQ, expected, atol=1e-5)
    labels_HW = model.label_map(model.scores(make_images(1)[0], text), (30, 40))
    assert set(labels_HW.unique().tolist()) <= {0, 1, 2}
    keep_BT = torch.tensor([[False, True, True, False, True, True]] * 2)
    few = model.head(image, text, Selection.from_mask(keep_BT))
    assert few.selection.index_BK.tolist() == [[1, 2, 4]] * 2
    assert torch.allclose(few.logits_BKQ[:, 2], alone[:, 4:].amax(1), atol=1e-5)


def test_synonyms_that_are_queries_can_be_trained():
    model = region_model(scales=(20.0,)).train()
    model.prompts = type(model.prompts)(synonyms="max")
    sample = make_sample(3)
    sample.set_metainfo(dict(vocabulary=("thing 0, a", "thing 1", "thing 2, b, c")))
    losses = model(make_images(1), [sample], mode="loss")
    assert set(losses) == {f"loss_{k}{i}" for k in ("class", "mask", "dice") for i in ("", "_0")}
    assert all(torch.isfinite(value) for value in losses.values())


def test_shares_sum_to_the_probability_that_a_proposal_is_an_object():
    model = region_model(scales=(20.0,))
    text = model.encode_vocabulary(make_names(4))
    image = model.encoder.encode_image(make_images(2))
    aligned = model.head(image, text, Selection.everything(2, 4))
    share_BKQ = model.decoder(aligned).share_BKQ
    void_BQ = torch.cat([aligned.logits_BKQ, aligned.void_BQ[:, None]], 1).softmax(1)[:, -1]
    assert torch.allclose(share_BKQ.sum(1), 1 - void_BQ, atol=1e-6)


def test_components_that_do_not_fit_are_named():
    parts = dict(
        encoder=dict(type="TinyEncoder"),
        head=dict(type="RegionHead", joint_dim=16),
        decoder=dict(type="ComposeDecoder"),
        inference=dict(activation="none"),
    )
    with pytest.raises(ValueError, match=r"RegionHead expects proposals=True.*compares cells\.$"):
        build_model(parts)  # and nothing about the sources of proposals, which follows from this
    tiny = dict(type="TinyEncoder", proposals=3)
    with pytest.raises(ValueError, match="ComposeDecoder expects alignment=RegionAlignment, but "
                       "CosineHead produces alignment=Alignment"):  # fmt: skip
        build_model({**parts, "encoder": tiny, "head": dict(type="CosineHead")})
    with pytest.raises(ValueError, match="UpsampleDecoder expects alignment=Alignment"):
        build_model({**parts, "encoder": tiny, "decoder": dict(type="UpsampleDecoder")})
    with pytest.raises(ValueError, match="expects masks=Masks, but ComposeDecoder"):
        build_model({**parts, "encoder": tiny, "criterion": dict(type="bce")})
    with pytest.raises(ValueError, match="expects activation=none, but InferenceConfig"):
        build_model({**parts, "encoder": tiny, "inference": None})
    two = dict(type="TinyEncoder", proposals=3, sources=2)
    with pytest.raises(ValueError, match="expects proposal_sources=1"):
        build_model({**parts, "encoder": two})
    more = dict(type="RegionHead", joint_dim=16, scales=(9.0, 9.0), trained=2)
    with pytest.raises(ValueError, match="training_sources=2, but TinyEncoder produces training_s"):
        build_model({**parts, "encoder": tiny, "head": more})
    query = dict(type="QueryProposer", joint_dim=16, level_dims=(), dim=8, queries=2, layers=1)
    wrapped = dict(
        type="WithProposals",
        encoder=dict(type="TinyEncoder", level_dims=(4,)),
        proposer=dict(**query, heads=2, expand=1),
    )
    with pytest.raises(ValueError, match=r"QueryProposer expects level_dims=\(\), but TinyEnco"):
        build_model({**parts, "encoder": wrapped})
    dense = dict(head=dict(type="CosineHead"), decoder=dict(type="UpsampleDecoder"))
    with pytest.raises(ValueError, match="expects activation=sigmoid, but InferenceConfig"):
        build_model({**parts, **dense})
    build_model({**parts, **dense, "encoder": tiny, "inference": None})  # ignores the proposals


def test_slide_inference_merges_regions_of_windows():
    model = region_model(scales=(20.0,))
    text = model.encode_vocabulary(make_names(4))
    image = make_images(1, 128)[0]
    model.inference = InferenceConfig(
        mode="slide", size=128, window=96, stride=32, activation="none"
    )
    scores = model.scores(image, text)
    whole = dense_scores(
        region_model(scales=(20.0,)).scores(image, text), scores.probs_BKHW.shape[2:]
    )
    assert F.cosine_similarity(scores.probs_BKHW.flatten(), whole.probs_BKHW.flatten(), 0) > 0.9


@pytest.mark.parametrize(
    ("image", "expected"),
    [((480, 640), (640, 853)), ((640, 480), (853, 640)), ((100, 1000), (256, 2560))],
)
def test_the_longer_side_of_the_canvas_is_bounded(image, expected):
    config = InferenceConfig(size=640, keep_ratio=True, longest=2560)
    assert config.canvas(*image) == expected


@pytest.mark.parametrize(
    "options", [dict(longest=100), dict(size=64, longest=100), dict(size=(8, 8), longest=9)]
)
def test_a_bound_without_kept_ratio_is_refused(options):
    with pytest.raises(ValueError, match="longest is the largest"):
        InferenceConfig(**options)


def test_labels_of_categories_become_those_of_their_first_synonyms(monkeypatch):
    model = region_model(scales=(20.0,)).train()
    model.prompts = type(model.prompts)(synonyms="max")
    sample, seen = make_sample(3), []
    sample.set_metainfo(dict(vocabulary=("thing 0, a", "b, c, d", "thing 2")))
    sample.gt_sem_seg = PixelData(data=torch.tensor([[[0, 1], [2, IGNORE]]]))
    monkeypatch.setattr(
        model.criterion, "forward", lambda masks, labels: seen.append((masks, labels)) or {}
    )
    model(make_images(1), [sample], mode="loss")
    ((masks, labels),) = seen
    assert labels.tolist() == [[[0, 2], [5, IGNORE]]]
    assert masks.selection.index_BK.tolist() == [[0, 2, 5]]


def test_labels_are_padded_like_the_image():
    labels = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    padded = padded_labels(labels, Padding((6, 8), (4, 6)))
    assert padded.tolist() == [[[1, 2, 3, IGNORE], [4, 5, 6, IGNORE], [IGNORE] * 4]]
    assert padded_labels(labels, None) is labels

"""The two-stage methods as compositions: sizes, laws, calibration, DeOP's parts."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.two_stage import MergedMaps, OnePassEmbedder
from ovss_plugins.two_stage.deop import RegionPooling

from ovss.benchmark.complexity import count_parameters, counted, on_meta
from ovss.encoders import OpenCLIPEncoder
from ovss.inference import dense_scores
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.postprocessors import CalibratedStacking
from ovss.structures import (
    ImageFeatures,
    Padding,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Selection,
    TextFeatures,
)
from ovss.testing import LAWS, with_tiny_encoder
from ovss.testing.tiny import make_images, make_names, make_sample
from ovss.training.optim import NamedRules
from ovss.vocabularies.seen import SeenNames

SIZES = {
    "ovseg_r101c": (211_140_033, 60_721_920),
    "ovseg_swin-b": (531_244_665, 102_841_720),
    "zegformer_r101": (209_908_673, 60_287_936),
    "zsseg_r101c": (210_696_641, 61_075_904),
    "deop_r101c": (217_350_081, 7_441_920),
}


@cache
def meta_model(config: str):
    return on_meta(load_config(config))


@pytest.mark.parametrize("config", SIZES)
def test_numbers_of_parameters(config):
    assert count_parameters(meta_model(config)) == SIZES[config]


def test_numbers_of_parameters_of_the_official_case():
    config = load_config("ovseg_r101c", {"model.encoder.proposer.queries": 16})
    assert count_parameters(on_meta(config)) == (211_118_529, 60_700_416)


def test_every_crop_counts():
    """Crops of 224 x 224 through ViT-B/16, whose last block computes the class token alone."""
    model = on_meta(load_config("ovseg_r101c", {"model.encoder.proposer.queries": 6}))
    encoder, image_13HW = model.encoder, torch.empty(1, 3, 64, 96, device="meta")
    features = encoder.encoder.encode_image(image_13HW)
    proposals = encoder.proposer(features, image_13HW)
    with counted() as counter:
        encoder.embedders[0](encoder.encoder, features, image_13HW, proposals)
    assert 6 * 2 * 15.5e9 < counter.get_total_flops() < 6 * 2 * 17.6e9


@pytest.fixture(scope="module")
def zegformer():
    model = with_tiny_encoder(load_config("zegformer_r101"))
    model.head.seen = model.post_processor.seen = SeenNames(make_names(3))
    return model


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(zegformer, law):
    law(zegformer)


def test_seen_categories_lose_a_constant(zegformer):
    text = zegformer.encode_vocabulary(("dog", "giraffe", "cow, cat"))
    zegformer.post_processor.seen = SeenNames(("DOG", "cat"))
    image = make_images(1)[0]
    calibrated = zegformer.scores(image, text)
    plain, zegformer.post_processor.gamma = zegformer.post_processor, 0.0
    before = zegformer.scores(image, text)
    plain.gamma = 0.1
    found, expected = (dense_scores(x).probs_BKHW for x in (calibrated, before))
    shift = torch.tensor([0.1, 0.0, 0.1]).view(1, 3, 1, 1)
    assert torch.allclose(found, expected - shift, atol=1e-5)
    dense = CalibratedStacking(0.1, ("dog", "cat"))(dense_scores(before))
    assert torch.allclose(dense.probs_BKHW, expected - shift, atol=1e-6)
    with pytest.raises(ValueError, match="gamma of at least 0"):
        CalibratedStacking(-1.0, ())


def test_each_source_has_templates_of_its_own(zegformer):
    text = zegformer.encode_vocabulary(("dog", "giraffe"))
    rows = zegformer.head._rows(text, Selection.everything(1, 2), 2)
    expected = (text.embeds_TPC[:, :8].mean(1), text.embeds_TPC[:, 8:].mean(1))
    for found_BKC, expected_TC in zip(rows, expected, strict=True):
        assert torch.allclose(found_BKC[0], F.normalize(expected_TC, dim=1), atol=1e-6)
    config = load_config("zegformer_r101", {"model.prompts.templates": "imagenet_select"})
    with pytest.raises(ValueError, match="RegionHead expects num_templates=40"):
        on_meta(config)


@pytest.fixture(scope="module")
def one_pass():
    torch.manual_seed(0)
    encoder = OpenCLIPEncoder("mini_clip", "mini_clip", image_size=64).eval()
    embedder = OnePassEmbedder(128, 192, queries=5, grid=6, position_layers=3, hidden=64).eval()
    return encoder, embedder


def regions(size=(24, 24), padding=None, batch=1) -> Proposals:
    generator = torch.Generator().manual_seed(0)
    mask_BQhw = 3 * torch.randn(batch, 5, *size, generator=generator)
    return Proposals(
        mask_BQhw, torch.zeros(batch, 5, 0, 128), torch.ones(batch, 5).bool(), padding=padding
    )


@torch.no_grad()
def test_deop_embeds_every_image_of_a_batch_by_itself(one_pass):
    encoder, embedder = one_pass
    images, every = make_images(3, 64), regions((16, 16), batch=3)
    found_BQC, filled_BQ = embedder(encoder, None, images, every)
    assert found_BQC.shape == (3, 5, 128)
    assert filled_BQ.all()
    alone = Proposals(every.mask_BQhw[1:2], every.embed_BQSC[1:2], every.valid_BQ[1:2])
    alone_BQC, _ = embedder(encoder, None, images[1:2], alone)
    assert torch.allclose(found_BQC[1:2], alone_BQC, atol=1e-5)


@torch.no_grad()
def test_deop_pads_as_its_proposer_does(one_pass):
    encoder, embedder = one_pass
    image = make_images(1, 90)[:, :, :70]
    padded = regions(padding=Padding((96, 96), (70, 90)))
    found_BQC, _ = embedder(encoder, None, image, padded)
    assert torch.equal(found_BQC, embedder(encoder, None, image, regions())[0])


@torch.no_grad()
def test_an_invalid_proposal_has_no_influence_on_the_others(one_pass):
    encoder, embedder = one_pass
    image, some = make_images(1, 96), regions()
    some.valid_BQ[0, 4] = False
    one, _ = embedder(encoder, None, image, some)
    some.mask_BQhw[0, 4] = torch.nan
    other, _ = embedder(encoder, None, image, some)
    assert torch.equal(one[:, :4], other[:, :4])
    assert other.isfinite().all()


@torch.no_grad()
def test_pooled_regions_are_sums_of_cells_in_their_masks():
    pooling = RegionPooling(8, queries=2, heads=2, hidden=16).eval()
    dense_1NC = torch.randn(1, 6, 8)
    share_1QN = torch.zeros(1, 2, 6)
    share_1QN[0, 0, 3] = 1.0
    found_1QC = pooling(dense_1NC, share_1QN)
    ratio_HC = (found_1QC[0, 0] / dense_1NC[0, 3]).view(2, 4)
    assert torch.allclose(ratio_HC, ratio_HC[:, :1].expand(-1, 4), atol=1e-5), "per head"
    assert not found_1QC[0, 1].any()
    with pytest.raises(ValueError, match="expects 2 proposals, one for each query, got 3"):
        pooling(dense_1NC, torch.zeros(1, 3, 6))


def merged_maps(logits_BKQ, void_BQ, mask_BQhw, labels_BHW):
    batch, kept, _ = logits_BKQ.shape
    selection = Selection.everything(batch, kept)
    image = ImageFeatures(torch.zeros(batch, 1, 1, 1), torch.zeros(batch, 1))
    text = TextFeatures(torch.zeros(kept, 1, 1))
    aligned = RegionAlignment(logits_BKQ, void_BQ, image, text, selection)
    masks = RegionMasks(logits_BKQ.softmax(1), mask_BQhw, selection, aligned=aligned)
    return MergedMaps()(masks, labels_BHW)


def test_deops_loss_written_out():
    logits_BKQ, void_BQ = torch.randn(2, 3, 4), torch.randn(2, 4)
    mask_BQhw, labels_BHW = torch.randn(2, 4, 6, 8), torch.randint(-1, 3, (2, 6, 8))
    found = merged_maps(logits_BKQ, void_BQ, mask_BQhw, labels_BHW)
    share_BRQ = torch.cat([logits_BKQ, void_BQ[:, None]], 1).softmax(1)
    focal, dice = [], []
    for share_RQ, mask_Qhw, label_HW in zip(share_BRQ, mask_BQhw.sigmoid(), labels_BHW):
        score_RHW = (3 * torch.einsum("rq,qhw->rhw", share_RQ, mask_Qhw) - 3).sigmoid()
        for category, score_HW in enumerate(score_RHW):
            is_it_HW = label_HW == (category if category < 3 else -1)
            right_HW = torch.where(is_it_HW, score_HW, 1 - score_HW)
            alpha_HW = torch.where(is_it_HW, 0.25, 0.75)
            focal.append((-alpha_HW * (1 - right_HW) ** 2 * right_HW.log()).mean())
            if category < 3 and is_it_HW.any():
                both, total = score_HW[is_it_HW].sum(), score_HW.sum() + is_it_HW.sum()
                dice.append(1 - (2 * both + 1) / (total + 1))
    assert float(found["loss_focal"]) == pytest.approx(2 * float(sum(focal) / 8), rel=1e-4)
    assert float(found["loss_dice"]) == pytest.approx(0.8 * float(sum(dice) / len(dice)), rel=1e-4)


def test_deops_loss_falls_with_better_scores():
    labels_BHW = torch.zeros(1, 4, 4, dtype=torch.long)
    mask_BQhw, void_BQ = torch.full((1, 1, 4, 4), 9.0), torch.zeros(1, 1)
    good, bad = (
        sum(merged_maps(torch.tensor([[[a], [-a]]]), void_BQ, mask_BQhw, labels_BHW).values())
        for a in (9.0, -9.0)
    )
    assert good < bad


@pytest.mark.parametrize("name", SIZES)
def test_the_published_recipes_name_parameters_that_train(name):
    slow = name not in ("deop_r101c", "ovseg_swin-b")
    config = load_config(name)
    wrapper = config.optim_wrapper.to_dict()
    rules = NamedRules(wrapper, wrapper.pop("paramwise_cfg"))
    model = meta_model(name)
    groups = rules.groups(model)
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in model.parameters())
    base = wrapper["optimizer"]["lr"]
    scaled = {id(p) for g in groups if g["lr"] < base for p in g["params"]}
    backbone = {id(p) for p in model.encoder.proposer.backbone.parameters() if p.requires_grad}
    assert scaled == (backbone if slow else set())
    free = {id(p) for g in groups if not g["weight_decay"] for p in g["params"]}
    assert any(p.requires_grad is False or id(p) in free for p in
               model.encoder.proposer.decoder.places.parameters())  # fmt: skip
    assert config.param_scheduler[-1]["type"] == "PolyLR"
    assert config.param_scheduler[-1]["end"] == config.train_cfg.max_iters


SMALL = dict(queries=5, dim=32, layers=2, heads=4, hidden=64)
SWIN = dict(type="Swin", dim=8, depths=(1, 1, 1, 1), heads=(2, 2, 2, 2), window=4)


def small_method(embedder: dict, proposer: dict, head: dict, criterion: dict):
    """Method of the bundled CLIP and a small first stage."""
    torch.manual_seed(0)
    clip = dict(type="OpenCLIPEncoder", model="mini_clip", pretrained="mini_clip", image_size=64)
    clip |= dict(prompt_vectors=4, train_prompts=True)
    return build_model(
        dict(
            encoder=dict(
                type="WithProposals",
                encoder=clip,
                proposer=dict(type="MaskFormerProposer", backbone=SWIN, **SMALL, **proposer),
                embedders=[embedder],
            ),
            head=dict(type="RegionHead", joint_dim=128, **head),
            decoder=dict(type="ComposeDecoder", merge_at_input=True),
            criterion=criterion,
            inference=dict(size=70, activation="none"),
            prompts=dict(templates=("{}.",), synonyms="verbatim"),
        )
    )


CROPS = (
    dict(type="CropEmbedder", mask_prompts=(2, 64, 192)),
    dict(joint_dim=128),
    dict(
        scales=(100.0, 100.0),
        ensemble=dict(seen=(0.3, 0.7), unseen=(0.3, 0.7), renormalize=False, empty="one"),
    ),
    dict(type="set_matching", mask_loss="focal", points=None),
)
ONE_PASS = (
    dict(type="OnePassEmbedder", dim=128, width=192, queries=5, grid=6, position_layers=3),
    dict(trainable=False),
    {},
    dict(type="merged_maps"),
)


@pytest.mark.parametrize("parts", [CROPS, ONE_PASS], ids=["crops", "one pass"])
def test_a_whole_method_trains_and_predicts(parts):
    model = small_method(*parts).train()
    losses = model(make_images(1), [make_sample(3)], mode="loss")
    sum(losses.values()).backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    assert model.encoder.encoder.context_MD.grad.any()
    assert model.head.void.grad.any()
    model.eval()
    image = make_images(1, 90)[0, :, :70]
    text = model.encode_vocabulary(make_names(4))
    with torch.no_grad():
        labels_HW = model.label_map(model.scores(image, text), (70, 90))
    assert set(labels_HW.unique().tolist()) <= {0, 1, 2, 3}


@torch.no_grad()
def test_an_image_without_any_mask_is_segmented():
    model = small_method(*CROPS).eval()
    model.encoder.proposer.mask_embed[-1].bias.fill_(0)
    model.encoder.proposer.mask_embed[-1].weight.fill_(0)  # logits of 0, which no mask exceeds
    text = model.encode_vocabulary(make_names(3))
    scores = model.scores(make_images(1)[0], text)
    assert not model.encoder.encode_image(make_images(1)).proposals.filled_BQ.any()
    assert scores.share_BKQ.isfinite().all()
    assert model.label_map(scores, (96, 96)).shape == (96, 96)

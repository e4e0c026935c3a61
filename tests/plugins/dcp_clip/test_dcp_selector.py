"""DynamicCategorySelector against eq. 1 to 5 written out, and with other methods."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.dcp_clip import DynamicCategorySelector
from ovss_plugins.dcp_clip.selector import IMAGE_SCORE, SUPPRESS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ovss.models.configs import load_config
from ovss.selectors import KeepAll
from ovss.structures import ImageFeatures, TextFeatures
from ovss.testing import LAWS, make_images, make_names, with_tiny_encoder


def features(batch=2, count=23, templates=3, dim=8, grid=(4, 5), spread=1.0):
    """Features that resemble each other, as CLIP's do, so scores are neither flat nor sharp."""
    common = torch.randn(dim)
    dense = common[:, None, None] + spread * torch.randn(batch, dim, *grid)
    text = F.normalize(common + torch.randn(count, templates, dim), dim=-1)
    return ImageFeatures(dense, common + spread * torch.randn(batch, dim)), TextFeatures(text)


def kept_by_the_formulas(
    image, text, theta=0.5, tau=10.0, suppress="one_minus", score="softmax", ensemble="mean_embed"
) -> Tensor:
    """Selects image by image from the whole T x N matrix, in double precision."""
    kept = []
    for dense_Chw, pooled_C in zip(image.dense_BChw.double(), image.pooled_BC.double()):
        unit_NC = F.normalize(dense_Chw.flatten(1).T, dim=1)
        unit_C = F.normalize(pooled_C, dim=0)
        embeds_TPC = text.embeds_TPC.double()
        if ensemble == "mean_embed":
            mean_TC = F.normalize(F.normalize(embeds_TPC, dim=2).mean(1), dim=1)
            cosine_NT, cosine_T = unit_NC @ mean_TC.T, mean_TC @ unit_C
        else:
            cosine_NT = torch.einsum("nc,tpc->ntp", unit_NC, embeds_TPC).mean(2)
            cosine_T = torch.einsum("c,tpc->tp", unit_C, embeds_TPC).mean(1)
        s_p, s_cls = (tau * cosine_NT).softmax(1), (tau * cosine_T).softmax(0)
        compared = {
            "softmax": s_cls,
            "softmax_maxnorm": s_cls / s_cls.max(),
            "minmax_cos": (cosine_T - cosine_T.min()) / (cosine_T.max() - cosine_T.min()),
            "sigmoid": (tau * (cosine_T - cosine_T.mean())).sigmoid(),
        }[score]
        above = compared > theta
        suppressed = {
            "one_minus": s_p * (1 - s_cls),
            "hard_mask": torch.where(above, -torch.inf, s_p),
            "projection": s_p - (s_p @ s_cls / s_cls.dot(s_cls))[:, None] * s_cls,
            "gate": s_p * s_cls,
            "none": s_p,
        }[suppress]
        chosen = above.clone()
        for row in suppressed:
            if row.max() > -torch.inf:
                chosen[row.argmax()] = True
        kept.append(chosen)
    return torch.stack(kept)


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize(("suppress", "score"), itertools.product(SUPPRESS, IMAGE_SCORE))
def test_equations_written_out(suppress, score, chunk):
    for ensemble in ("mean_embed", "mean_sim"):
        image, text = features()
        selector = DynamicCategorySelector(
            threshold=0.3, temperature=10.0, suppress=suppress, image_score=score,
            ensemble=ensemble, chunk=chunk,
        ).eval()  # fmt: skip
        expected = kept_by_the_formulas(image, text, 0.3, 10.0, suppress, score, ensemble)
        assert torch.equal(selector(image, text).mask(), expected)


def test_suppression_frees_cells_of_a_dominant_category():
    """Category 0 equals the image; category 1 is a close second at one cell and wins it."""
    text = TextFeatures(torch.eye(3)[:, None])
    dense = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.999, 0.0]]).T.view(1, 3, 1, 2)
    image = ImageFeatures(dense, torch.tensor([[1.0, 0.0, 0.0]]))
    plain = DynamicCategorySelector(suppress="none")(image, text)
    damped = DynamicCategorySelector(suppress="one_minus")(image, text)
    assert plain.category_N.tolist() == [0]
    assert damped.category_N.tolist() == [0, 1]


def test_half_precision_features_are_scored_in_single():
    image, text = features(spread=0.3)
    half = ImageFeatures(image.dense_BChw.bfloat16(), image.pooled_BC.bfloat16())
    single = ImageFeatures(half.dense_BChw.float(), half.pooled_BC.float())
    selector = DynamicCategorySelector()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = selector(half, text)
    assert torch.equal(found.mask(), selector(single, text).mask())
    assert found.scores_BT.dtype == torch.float32


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation makes."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, Tensor):
                self.size = max(self.size, x.numel())
        return out


@pytest.mark.parametrize("options", [{}, {"suppress": "projection", "max_categories": 3}])
def test_ten_thousand_categories_need_no_tensor_of_all_of_them_at_every_cell(options):
    image, text = features(batch=2, count=10_000, templates=1, grid=(12, 12))
    selector = DynamicCategorySelector(chunk=64, **options)
    with Largest() as largest:
        selector(image, text)
    assert largest.size <= 10_000 * 8
    assert largest.size < 2 * 144 * 10_000 / 30


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_threshold_zero_is_exactly_not_selecting(threshold):
    config = load_config("dcp_clip_mini")
    model = with_tiny_encoder(config)
    image = model.encoder.encode_image(make_images(2))
    text = model.encode_vocabulary(make_names(9))
    with torch.no_grad():
        model.selector = KeepAll()
        plain = model.segment(image, text)
        model.selector = DynamicCategorySelector(threshold=threshold)
        chosen = model.segment(image, text)
    assert torch.equal(plain.logits_BKHW, chosen.logits_BKHW)
    assert torch.equal(plain.selection.index_BK, chosen.selection.index_BK)


def test_no_category_above_the_threshold():
    image, text = features()
    found = DynamicCategorySelector(threshold=1.0)(image, text)
    assert not (found.scores_BT > 1).any()
    assert (found.mask().sum(1) >= 1).all()
    assert (found.mask().sum(1) <= 20).all(), "no more than there are cells"


def test_nothing_kept_at_all_leaves_the_category_with_most_cells():
    image, text = features(count=6)
    cells = DynamicCategorySelector(threshold=1.0, min_patches=1)
    none = DynamicCategorySelector(threshold=1.0, min_patches=21)
    (few,), (one,) = cells(image, text).mask()[:1], none(image, text).mask()[:1]
    assert int(one.sum()) == 1
    assert bool((one <= few).all())


def test_one_category():
    image, text = features(count=1)
    for suppress in SUPPRESS:
        found = DynamicCategorySelector(suppress=suppress)(image, text)
        assert found.index_BK.tolist() == [[0], [0]]


def test_ground_truth_is_kept_in_training_only():
    image, text = features(count=200)
    selector = DynamicCategorySelector().eval()
    usual = selector(image, text).mask()
    truth = torch.zeros_like(usual)
    truth[0, (~usual[0]).nonzero()[:3, 0]] = True
    assert torch.equal(selector(image, text, truth).mask(), usual)
    assert torch.equal(selector.train()(image, text, truth).mask(), usual | truth)
    selector.include_truth = False
    assert torch.equal(selector(image, text, truth).mask(), usual)


def test_cap_keeps_truth_and_then_what_some_cell_is_surest_of():
    image, text = features(count=200, spread=2.0)
    selector = DynamicCategorySelector(temperature=10.0, max_categories=4).train()
    usual = DynamicCategorySelector(temperature=10.0)(image, text).mask()
    assert (usual.sum(1) > 5).all()
    truth = torch.zeros_like(usual)
    truth[0, (~usual[0]).nonzero()[0]] = True
    found = selector(image, text, truth).mask()
    assert found.sum(1).tolist() == [4, 4]
    rows = F.normalize(text.embeds_TPC.mean(1), dim=1)
    surest = 10 * F.normalize(image.dense_BChw.flatten(2), dim=1).transpose(1, 2) @ rows.T
    highest = surest.softmax(2).amax(1)
    for i, free in enumerate((3, 4)):
        best = highest[i].masked_fill(~usual[i], -1).topk(free).indices
        expected = truth[i].clone()
        expected[best] = True
        assert torch.equal(found[i], expected)
    many = torch.zeros_like(usual)
    many[:, :9] = True
    assert torch.equal(selector(image, text, many).mask(), many), "truth beyond the cap stays"


def test_random_negatives_come_in_training_only():
    image, text = features(count=60)
    selector = DynamicCategorySelector(random_negatives=5)
    usual = selector.eval()(image, text).mask()
    more = selector.train()(image, text).mask()
    assert (more >= usual).all()
    assert (more.sum(1) - usual.sum(1)).tolist() == [5, 5]
    everything = DynamicCategorySelector(random_negatives=1000).train()(image, text).mask()
    assert everything.all()


def test_scope_batch_is_the_union_of_its_views():
    image, text = features(batch=3)
    alone = DynamicCategorySelector()(image, text).mask()
    together = DynamicCategorySelector(scope="batch")(image, text).mask()
    assert torch.equal(together, alone.any(0).expand(3, -1))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"threshold": 1.5}, "threshold of at most 1, but got 1.5"),
        ({"threshold": float("nan")}, "threshold of at most 1, but got nan"),
        ({"temperature": 0}, "temperature above 0"),
        ({"suppress": "one-minus"}, "suppress to be one of 'one_minus'"),
        ({"image_score": "cosine"}, "image_score to be one of"),
        ({"ensemble": "max"}, "ensemble to be one of"),
        ({"scope": "image"}, "scope to be one of"),
        ({"min_patches": 0}, "min_patches of at least 1"),
        ({"chunk": 0}, "chunk of at least 1"),
        ({"random_negatives": -1}, "random_negatives of at least 0"),
        ({"max_categories": -1}, "max_categories of at least 0"),
    ],
)
def test_wrong_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        DynamicCategorySelector(**options)


@pytest.mark.parametrize("name", ["cat_seg_mini", "maskclip_mini"])
def test_it_selects_for_other_methods(name):
    """Other methods' encoders give no attention, and the selector needs none."""
    selector = dict(_delete_=True, type="DynamicCategorySelector", threshold=0.5)
    config = load_config(name, {"model.selector": selector})
    config.custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
    model = with_tiny_encoder(config)
    assert isinstance(model.selector, DynamicCategorySelector)
    for law in LAWS[:3]:
        law(model)
    with torch.no_grad():
        kept = model.scores(make_images(1)[0], model.encode_vocabulary(make_names(100))).selection
    assert 1 <= kept.index_BK.shape[1] < 100

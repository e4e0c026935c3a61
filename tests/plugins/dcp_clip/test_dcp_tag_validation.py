"""TagValidation against eq. 17 written out, and cases that it must leave alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.dcp_clip import TagValidation
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ovss.models.configs import load_config
from ovss.structures import ImageFeatures, Scores, Selection, TextFeatures, Vocabulary
from ovss.testing import make_images, make_names, with_tiny_encoder

NAMES = tuple(f"word {i}" for i in range(12))
SEEN = NAMES[:4]


def scored(batch=1, keep=None, size=(16, 20), grid=(4, 5), names=NAMES, dim=6) -> Scores:
    """Scores with smooth maps of some categories over random features."""
    if keep is None:
        keep = torch.zeros(batch, len(names), dtype=torch.bool)
        keep[:, 1:10:2] = True
    selection = Selection.from_mask(keep)
    coarse = torch.rand(*selection.index_BK.shape, 3, 4)
    probs = F.interpolate(coarse, size=size, mode="bilinear")
    probs = probs * selection.valid_BK[:, :, None, None]
    text = F.normalize(torch.randn(len(names), 2, dim), dim=-1)
    image = ImageFeatures(torch.randn(batch, dim, *grid), torch.randn(batch, dim))
    return Scores(probs, selection, image, TextFeatures(text, vocabulary=Vocabulary(names)))


def written_out(scores: Scores, k: int, seen, candidates="all", weighted=False) -> Tensor:
    """Labels (B, H, W) from one-hot masks and complete lists of cosines."""
    labels = scores.labels_BHW()
    out = labels.clone()
    mean = F.normalize(scores.text.embeds_TPC.mean(1), dim=1)
    for i, labels_HW in enumerate(labels):
        dense = scores.features.dense_BChw[i]
        for y in labels_HW.unique().tolist():
            if NAMES[y] in seen:
                continue
            region = (labels_HW == y).double()
            if weighted:
                slot = (scores.selection.index_BK[i] == y).nonzero()[-1, 0]
                region = region * scores.probs_BKHW[i, slot]
            rows = region.shape[0] // dense.shape[1]
            columns = region.shape[1] // dense.shape[2]
            weight = region.view(dense.shape[1], rows, dense.shape[2], columns).mean((1, 3))
            pooled = (dense * weight).sum((1, 2)) / weight.sum()
            cosine = (mean.double() @ F.normalize(pooled, dim=0)).tolist()
            allowed = range(len(NAMES))
            if candidates == "selected":
                allowed = scores.selection.index_BK[i][scores.selection.valid_BK[i]].tolist()
            ranking = sorted(allowed, key=lambda c: -cosine[c])
            if y not in ranking[:k]:
                out[i][labels_HW == y] = ranking[0]
    return out


@pytest.mark.parametrize("k", [1, 2, 5, 11])
@pytest.mark.parametrize("candidates", ["all", "selected"])
@pytest.mark.parametrize("pool", ["mean", "prob_weighted"])
def test_equation_written_out(k, candidates, pool):
    changed = 0
    for seed in range(3):
        torch.manual_seed(seed)
        keep = torch.rand(2, len(NAMES)) < 0.5
        scores = scored(2, keep)
        found = TagValidation(seen=SEEN, k=k, candidates=candidates, pool=pool)(scores)
        expected = written_out(scores, k, SEEN, candidates, pool == "prob_weighted")
        assert torch.equal(found.labels_BHW(), expected)
        changed += int((expected != scores.labels_BHW()).sum())
    assert changed > 0 or k >= 5


def test_scores_move_with_the_label():
    scores = scored()
    found = TagValidation(seen=SEEN, k=1)(scores)
    before, after = scores.probs_BTHW()[0], found.probs_BTHW()[0]
    old, new = scores.labels_BHW()[0], found.labels_BHW()[0]
    assert (old != new).any()
    for y in old.unique().tolist():
        region = old == y
        target = int(new[region][0])
        assert (new[region] == target).all(), "a category moves as one"
        others = [c for c in range(len(NAMES)) if c not in (y, target)]
        assert torch.equal(after[others][:, region], before[others][:, region])
        if target != y:
            assert (after[y][region] == 0).all()
            expected = torch.maximum(before[y], before[target])[region]
            assert torch.equal(after[target][region], expected)


@pytest.mark.parametrize("k", [12, 13, 1000])
def test_as_many_as_there_are_changes_nothing(k):
    scores = scored()
    assert TagValidation(seen=[], k=k)(scores) is scores


def test_predictions_of_seen_categories_are_never_touched():
    for seed in range(5):
        torch.manual_seed(seed)
        scores = scored(2)
        found = TagValidation(seen=SEEN, k=1)(scores)
        seen = scores.labels_BHW() < len(SEEN)
        assert torch.equal(found.labels_BHW()[seen], scores.labels_BHW()[seen])
        before, after = scores.probs_BTHW(), found.probs_BTHW()
        assert torch.equal(after.permute(0, 2, 3, 1)[seen], before.permute(0, 2, 3, 1)[seen])


def test_everything_seen_changes_nothing():
    scores = scored()
    assert TagValidation(seen=NAMES, k=1)(scores) is scores


def test_a_category_that_no_view_kept_may_win():
    keep = torch.zeros(1, len(NAMES), dtype=torch.bool)
    keep[0, 7] = True
    scores = scored(1, keep)
    dense = scores.text.mean_TC[2].view(1, -1, 1, 1).expand(1, -1, 4, 5)
    scores = Scores(
        scores.probs_BKHW, scores.selection, ImageFeatures(dense, dense[..., 0, 0]), scores.text
    )
    found = TagValidation(seen=SEEN, k=1)(scores)
    assert (found.labels_BHW() == 2).all(), "a seen category may be the new one"
    assert found.selection.category_N.tolist() == [2, 7]
    alone = TagValidation(seen=SEEN, k=1, candidates="selected")(scores)
    assert (alone.labels_BHW() == 7).all()


def test_components_are_judged_apart():
    """Two blobs of one category lie over features of two others."""
    scores = scored(1, torch.ones(1, len(NAMES), dtype=torch.bool))
    probs = torch.zeros(1, len(NAMES), 16, 20)
    probs[0, 0] = 0.5
    probs[0, 9, 4:8, 0:8] = 1.0
    probs[0, 9, 4:8, 12:20] = 0.9
    dense = torch.zeros(1, 6, 4, 5)
    dense[0, :, 1, :2] = scores.text.mean_TC[6][:, None]
    dense[0, :, 1, 3:] = scores.text.mean_TC[8][:, None]
    image = ImageFeatures(dense, torch.randn(1, 6))
    scores = Scores(probs, scores.selection, image, scores.text)
    labels = TagValidation(seen=SEEN, k=1, region="component")(scores).labels_BHW()[0]
    assert (labels[4:8, 0:8] == 6).all()
    assert (labels[4:8, 12:20] == 8).all()
    assert (labels[0] == 0).all()
    small = TagValidation(seen=SEEN, k=1, region="component", min_area=0.11)(scores)
    assert (small.labels_BHW()[0][4:8, 0:8] == 9).all(), "regions of 0.1 are left alone"


def test_names_are_matched_in_lower_case_whole_or_by_synonym():
    scores = scored(names=("Sidewalk, pavement", *NAMES[1:]))
    keep = Selection.from_mask(torch.eye(12, dtype=torch.bool)[:1])
    dense = scores.text.mean_TC[5].view(1, -1, 1, 1).expand(1, -1, 4, 5)
    image = ImageFeatures(dense, dense[..., 0, 0])
    scores = Scores(torch.ones(1, 1, 16, 20), keep, image, scores.text)

    def untouched(**options) -> bool:
        return TagValidation(k=1, **options)(scores) is scores

    assert untouched(seen=["sidewalk, PAVEMENT"])
    assert not untouched(seen=["pavement"])
    assert untouched(seen=["pavement"], seen_match="synonym")
    assert untouched(seen=["Road, Pavement"], seen_match="synonym")


class MapCounter(TorchDispatchMode):
    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.largest = max(self.largest, out.numel())
        return out


def test_no_map_is_made_for_every_category():
    names = tuple(f"word {i}" for i in range(3000))
    keep = torch.zeros(1, 3000, dtype=torch.bool)
    keep[0, 10:14] = True
    scores = scored(1, keep, names=names, size=(32, 40))
    with MapCounter() as counter:
        TagValidation(seen=SEEN, k=1)(scores)
    assert counter.largest <= max(3000 * 2 * 6, 8 * 32 * 40)


def test_it_serves_any_method():
    post = dict(_delete_=True, type="TagValidation", seen="mini_150_seen", k=1)
    config = load_config("cat_seg_mini", {"model.post_processor": post})
    config.custom_imports = dict(imports=["ovss_plugins.cat_seg", "ovss_plugins.dcp_clip"])
    model = with_tiny_encoder(config)
    text = model.encode_vocabulary(make_names(30))
    scores = model.scores(make_images(1)[0], text)
    assert model.label_map(scores, (50, 60)).shape == (50, 60)


def test_missing_features_and_names_are_refused():
    scores = scored()
    blind = Scores(scores.probs_BKHW, scores.selection, None, scores.text)
    with pytest.raises(ValueError, match="global_view=True"):
        TagValidation(seen=SEEN)(blind)
    nameless = TextFeatures(scores.text.embeds_TPC)
    with pytest.raises(ValueError, match="expects class names"):
        TagValidation(seen=SEEN)(
            Scores(scores.probs_BKHW, scores.selection, scores.features, nameless)
        )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 0}, "k of at least 1"),
        ({"candidates": "kept"}, "candidates to be one of"),
        ({"region": "instance"}, "region to be one of"),
        ({"pool": "max"}, "pool to be one of"),
        ({"seen_match": "fuzzy"}, "seen_match to be one of"),
        ({"min_area": 2}, "min_area between 0 and 1"),
        ({"seen": "coco_stuff_172"}, "Did you mean coco_stuff_171"),
    ],
)
def test_wrong_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        TagValidation(**{"seen": SEEN, **options})

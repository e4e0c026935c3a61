"""Label mode inside regions, and categories that are confident nowhere, against slow rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ovss.inference import InferenceConfig
from ovss.interfaces import Proposer
from ovss.models.configs import load_config
from ovss.postprocessors import Denoise, RegionMode
from ovss.proposers.binary import binary_proposals
from ovss.proposers.current import CurrentImage, current_images
from ovss.registry import POSTPROCESSORS, PROPOSERS
from ovss.structures import ImageFeatures, Proposals, Scores, Selection, TextFeatures, Vocabulary
from ovss.testing import LAWS, make_images, make_names, with_tiny_encoder

QUERIES = Vocabulary(("sky", "cat, kitten", "dog", "wall"), synonyms="max").queries()
OWNER = (0, 1, 1, 2, 3)


@PROPOSERS.register_module()
class GivenRegions(Proposer):
    """Regions that a test sets; quarters of the image by default."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        height, width = image_B3HW.shape[2:]
        rows = torch.arange(height)[:, None] * 2 // height
        number = 2 * rows + torch.arange(width)[None] * 2 // width
        quarters = number == torch.arange(4)[:, None, None]
        return binary_proposals(self.masks or [quarters] * len(image_B3HW), features)


def scores_of(probs: Tensor, keep_BT: Tensor | None = None) -> Scores:
    batch, kept = probs.shape[:2]
    full = torch.ones(batch, 5, dtype=torch.bool) if keep_BT is None else keep_BT
    selection = Selection.from_mask(full)
    text = TextFeatures(torch.randn(5, 1, 3), vocabulary=QUERIES)
    assert selection.index_BK.shape[1] == kept
    return Scores(probs, selection, None, text, torch.rand(batch, 3, *probs.shape[2:]))


def region_mode(masks: list[Tensor], **options) -> RegionMode:
    step = RegionMode(dict(type="GivenRegions"), **options)
    step.proposer.masks = masks
    return step


def slow_labels(
    labels: Tensor, masks: Tensor, sums: Tensor, priority: str, min_area: int = 1
) -> Tensor:
    """Region by region: the last that is painted owns a pixel; higher scores decide a tie.

    Args:
        labels: category of each pixel.
        masks: regions.
        sums: sum of the scores of the names of each category, (categories, H, W).
        priority: order of painting.
        min_area: size from which a region counts.
    """
    order = sorted(range(len(masks)), key=lambda q: int(masks[q].sum()))
    if priority == "smallest":
        order.reverse()
    if priority == "first":
        order = list(reversed(range(len(masks))))
    painted = torch.full(labels.shape, -1)
    for q in order:
        if int(masks[q].sum()) >= min_area:
            painted[masks[q]] = q
    result = labels.clone()
    for q in order:
        inside = labels[painted == q].tolist()
        if inside:
            sum_T = sums[:, painted == q].sum(1).tolist()
            result[painted == q] = max(set(inside), key=lambda t: (inside.count(t), sum_T[t]))
    return result


@pytest.mark.parametrize("priority", ["largest", "smallest", "first"])
def test_regions_get_the_category_of_most_of_their_pixels(priority):
    torch.manual_seed(0)
    probs = (2 * torch.randn(2, 5, 9, 11)).softmax(1)
    masks = [torch.rand(6, 9, 11) < torch.rand(6, 1, 1) for _ in range(2)]
    scores = scores_of(probs)
    after = region_mode(masks, priority=priority, min_area=20)(scores)
    owner = torch.tensor(OWNER)
    for image in range(2):
        before = owner[scores.labels_BHW()[image]]
        sums = torch.stack([probs[image][owner == t].sum(0) for t in range(max(OWNER) + 1)])
        expected = slow_labels(before, masks[image], sums, priority, 20)
        assert torch.equal(owner[after.labels_BHW()[image]], expected)
        assert not torch.equal(expected, before)
    torch.testing.assert_close(after.probs_BKHW.sum(1), probs.sum(1))
    assert torch.equal(after.probs_BKHW.amax(1), probs.amax(1))


def test_categories_that_were_not_kept_never_appear():
    keep = torch.tensor([[1, 0, 1, 0, 0], [1, 1, 1, 0, 1]], dtype=torch.bool)
    probs = torch.rand(2, 4, 8, 8) * Selection.from_mask(keep).valid_BK[:, :, None, None]
    after = region_mode([torch.ones(1, 8, 8, dtype=torch.bool)] * 2)(scores_of(probs, keep))
    for image in range(2):
        assert len(after.labels_BHW()[image].unique()) <= 2  # one category, by at most two names
        assert keep[image, after.labels_BHW()[image].unique()].all()


def test_no_region_changes_nothing_and_masks_have_their_own_resolution():
    scores = scores_of(torch.rand(1, 5, 8, 12).softmax(1))
    none = region_mode([torch.zeros(0, 8, 12, dtype=torch.bool)])(scores)
    assert torch.equal(none.probs_BKHW, scores.probs_BKHW)
    masks = torch.zeros(1, 4, 6, dtype=torch.bool)
    masks[:, :2] = True
    labels = region_mode([masks])(scores).labels_BHW()[0]
    assert len({OWNER[i] for i in labels[:4].flatten().tolist()}) == 1
    assert torch.equal(labels[4:], scores.labels_BHW()[0, 4:])


def test_regions_from_a_folder(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((1, 8, 12), bool))
    step = POSTPROCESSORS.build(
        dict(type="RegionMode", proposer=dict(type="FolderProposer", folder=str(tmp_path)))
    ).eval()
    scores = scores_of(torch.rand(1, 5, 8, 12).softmax(1))
    with current_images([CurrentImage("data/a.jpg")]):
        labels = step(scores).labels_BHW()
    assert len({OWNER[i] for i in labels.flatten().tolist()}) == 1


def test_bad_options_and_missing_images_are_named():
    with pytest.raises(ValueError, match=r"RegionMode\.priority must be one of largest, smallest"):
        region_mode([], priority="newest")
    scores = scores_of(torch.rand(1, 5, 4, 4))
    bare = Scores(scores.probs_BKHW, scores.selection, None, scores.text)
    with pytest.raises(ValueError, match="RegionMode proposes regions of the image"):
        region_mode([])(bare)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.7, 1.0])
def test_a_category_needs_one_pixel_of_which_it_is_sure(threshold):
    torch.manual_seed(1)
    keep = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1]], dtype=torch.bool)
    selection = Selection.from_mask(keep)
    logits = torch.randn(2, 5, 6, 7) * torch.tensor([1.0, 3, 1, 2, 0.5])[:, None, None]
    probs = logits.masked_fill(~selection.valid_BK[:, :, None, None], -torch.inf).softmax(1)
    after = Denoise(threshold)(scores_of(probs, keep))
    for image in range(2):
        names = [t for t in range(5) if keep[image, t]]
        peak = {t: float(probs[image, names.index(t)].max()) for t in names}
        best = {c: max(peak[t] for t in names if OWNER[t] == c) for c in {OWNER[t] for t in names}}
        left = {c for c in best if best[c] >= threshold} or {max(best, key=best.get)}
        expected = [t for t in names if OWNER[t] in left]
        valid = after.selection.valid_BK[image]
        assert after.selection.index_BK[image][valid].tolist() == expected
        for slot, name in enumerate(expected):
            assert torch.equal(after.probs_BKHW[image, slot], probs[image, names.index(name)])


@pytest.mark.parametrize("law", LAWS[:8], ids=lambda law: law.__name__)
@pytest.mark.parametrize("step", [dict(type="Denoise"), dict(type="RegionMode", proposer={})])
def test_the_laws_of_post_processors_hold(step, law):
    if step["type"] == "RegionMode":
        step = {**step, "proposer": dict(type="GivenRegions")}
    model = with_tiny_encoder(load_config("sclip_mini"))
    model.post_processor = POSTPROCESSORS.build(step)
    with torch.no_grad():
        law(model)


def test_behind_windows():
    model = with_tiny_encoder(load_config("sclip_mini"))
    model.inference = InferenceConfig(
        "slide", 64, window=48, stride=16, global_view=False, activation="softmax"
    )
    model.post_processor = RegionMode(dict(type="GivenRegions"))
    text = model.encode_vocabulary(make_names(3))
    labels = model.label_map(model.scores(make_images(1)[0], text), (64, 64))
    for rows in (slice(0, 31), slice(33, 64)):
        assert len(labels[rows, :31].unique()) == 1

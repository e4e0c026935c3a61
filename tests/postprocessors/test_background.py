"""Background against the rule as evaluations write it: arg max, then threshold, then merge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ovss.axes import take
from ovss.models.configs import load_config
from ovss.postprocessors import Background
from ovss.structures import Scores, Selection, TextFeatures, Vocabulary
from ovss.testing import make_images, with_tiny_encoder

NAMES = ("background", "cat", "wall", "Sky, heaven", "dog", "road")
WORDS = ("sky", "wall", "not there")


def scores_of(probs: Tensor, keep: Tensor, names=NAMES) -> Scores:
    """Scores of the kept categories out of maps of all (B, T, H, W)."""
    selection = Selection.from_mask(keep)
    kept = torch.stack([p[i] for p, i in zip(probs, selection.index_BK, strict=True)])
    kept = kept * selection.valid_BK[:, :, None, None]
    text = TextFeatures(torch.randn(len(names), 1, 4), vocabulary=Vocabulary(names))
    return Scores(kept, selection, None, text)


def slow_labels(probs_THW: Tensor, keep_T: Tensor, threshold: float, own: bool) -> Tensor:
    """Pixel by pixel."""
    ground, words = 0, {2, 3}
    labels = torch.zeros(probs_THW.shape[1:], dtype=torch.long)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            rivals = {
                t: float(probs_THW[t, y, x])
                for t in range(len(NAMES))
                if keep_T[t] and (own or t != ground)
            }
            best = max(rivals, key=rivals.get)
            winner = ground if best in words else best
            labels[y, x] = winner if rivals[best] >= threshold else ground
    return labels


@pytest.mark.parametrize("own_word", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.99])
def test_equals_the_rule_pixel_by_pixel(threshold, own_word):
    probs = (3 * torch.randn(2, 6, 9, 8)).softmax(1)
    keep = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 0]], dtype=torch.bool)
    step = Background(words=WORDS, threshold=threshold, own_word=own_word)
    after = step(scores_of(probs, keep))
    for image in range(2):
        expected = slow_labels(probs[image], keep[image], threshold, own_word)
        assert torch.equal(after.labels_BHW()[image], expected)
    kept = [set(take(after.selection, B=slice(i, i + 1)).category_N.tolist()) for i in range(2)]
    assert kept == [{0, 1, 4, 5}, {0, 1, 4}]


def test_the_59_names_of_voc_20b_become_21():
    from ovss.vocabularies import load_names

    names = load_names("pascal_voc_20b")
    probs = (3 * torch.randn(1, 59, 6, 6)).softmax(1)
    plain = scores_of(probs, torch.ones(1, 59, dtype=torch.bool), names)
    merged = Background(name=names[20], words=names[21:])(plain)
    assert torch.equal(merged.labels_BHW(), plain.labels_BHW().clamp(max=20))


def test_nothing_changes_where_the_vocabulary_has_no_background():
    names = ("cat", "wall")
    scores = scores_of(torch.rand(1, 2, 3, 3), torch.ones(1, 2, dtype=torch.bool), names)
    assert Background(words=WORDS, threshold=0.5)(scores) is scores


@torch.no_grad()
def test_behind_any_method():
    model = with_tiny_encoder(load_config("cat_seg_mini"))
    model.post_processor = Background(words=WORDS, threshold=0.6)
    text = model.encode_vocabulary(("cat", "wall", "background", "dog"))
    labels = model.label_map(model.scores(make_images(1)[0], text), (50, 40))
    assert set(labels.unique().tolist()) <= {0, 2, 3}


def test_odd_arguments_and_nameless_scores_are_refused():
    with pytest.raises(ValueError, match="expects a threshold in 0"):
        Background(threshold=1.5)
    scores = scores_of(torch.rand(1, 6, 3, 3), torch.ones(1, 6, dtype=torch.bool))
    nameless = Scores(
        scores.probs_BKHW, scores.selection, None, TextFeatures(scores.text.embeds_TPC)
    )
    with pytest.raises(ValueError, match="needs the names"):
        Background()(nameless)

"""Classes, queried names and seen classes against rules written out for single pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ovss.evaluation.metric import OpenVocabIoU, seen_classes, to_classes
from ovss.prepare.recipes import find_recipe
from ovss.selection import IGNORE
from ovss.vocabularies import load_names


def evaluated(predicted: np.ndarray, true: np.ndarray, **meta) -> OpenVocabIoU:
    metric = OpenVocabIoU()
    metric.dataset_meta = meta
    for one, other in zip(predicted, true, strict=True):
        maps = {"pred_sem_seg": one, "gt_sem_seg": other}
        sample = {key: {"data": torch.from_numpy(x)[None]} for key, x in maps.items()}
        metric.process({}, [sample])
    metric.evaluate(len(true))
    return metric


def iou_by_pixels(predicted: np.ndarray, true: np.ndarray, index: int) -> float:
    """IoU of a class in percent, over the labelled pixels."""
    labelled = true != IGNORE
    one, other = (predicted == index) & labelled, (true == index) & labelled
    return 100 * (one & other).sum() / (one | other).sum()


def test_pas_20b_scores_20_classes_and_counts_the_other_39_names_as_background():
    words, classes = load_names("pascal_voc_20b"), load_names("pascal_voc_20")
    recipe = find_recipe("pascal_voc_20b")
    assert len(words) == 59
    scored = dict(zip(words, recipe.word_class, strict=True))
    for index in range(20):  # the same classes under the names of Pascal-Context
        assert scored[words[index]] == index
    assert {scored[word] for word in words[20:]} == {20}
    draw = np.random.default_rng(0)
    true = draw.integers(-1, 21, (3, 30, 40))
    predicted = draw.integers(0, 59, true.shape)
    metric = evaluated(
        predicted, true, classes=(*classes, "background"), word_class=recipe.word_class
    )
    as_classes = np.where(predicted < 20, predicted, 20)
    expected = [iou_by_pixels(as_classes, true, index) for index in range(21)]
    np.testing.assert_allclose(metric.report.iou_T, expected, rtol=1e-12)
    assert metric.report.counts.true_T.sum() == (true != IGNORE).sum()


def test_synonyms_that_are_queried_alone_count_for_their_class():
    true = np.array([[[0, 0, 1, 2, IGNORE]]])
    predicted = np.array([[[0, 1, 2, 3, 3]]])  # sofa, couch, cat, wall
    metric = evaluated(
        predicted,
        true,
        classes=("sofa, couch", "cat", "background"),
        word_class=(0, 0, 1, 2),
    )
    assert metric.report.iou_T.tolist() == [100, 100, 100]
    assert metric.report.counts.predicted_T.tolist() == [2, 1, 1]


def test_a_pixel_without_a_category_stays_without_a_class():
    assert to_classes(torch.tensor([-1, 3, 0, -1]), (2, 2, 0, 1)).tolist() == [-1, 1, 2, -1]
    with pytest.raises(ValueError, match=r"0\.\.3"):
        to_classes(torch.tensor([4]), (2, 2, 0, 1))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # "sofa, couch", "settee, COUCH", "Cat", "cat flap", "dog"
        ("any_synonym", [True, True, True, False, True]),
        ("first_synonym", [False, False, True, False, True]),
        ("exact", [False, False, False, False, True]),
    ],
)
def test_seen_classes_by_each_rule(rule, expected):
    names = ("sofa, couch", "settee, COUCH", "Cat", "cat flap", "dog")
    trained = ("couch, sofa", "cat,  kitten", "dog")
    assert seen_classes(names, trained, rule).tolist() == expected

"""Categories, background names and thresholds as users give them."""

from __future__ import annotations

import pytest

from ovss.api.request import Request
from ovss.vocabularies.parsing import names_of


def test_a_trailing_comma_is_allowed():
    assert Request.of("cat, dog,").names == ("cat", "dog")


@pytest.mark.parametrize("text", ["ade20k", "coco", "ADE20K_150", "cityscape"])
def test_misspelt_vocabulary_is_not_a_category(text):
    with pytest.raises(ValueError, match="Did you mean"):
        names_of(text)
    assert names_of(f"{text},") == names_of([text]) == (text,)


def test_background_names_compete_but_are_not_categories():
    request = Request.of("cat, sofa|couch", "wall, sky")
    assert request.names == ("cat", "sofa, couch")
    assert request.queries == ("cat", "sofa, couch", "wall", "sky")
    with pytest.raises(ValueError, match="'Couch' is also a category"):
        Request.of("cat, sofa|couch", ["Couch"])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), True])
def test_thresholds_are_probabilities(threshold):
    with pytest.raises(ValueError, match=r"threshold in 0\.\.1"):
        Request.of("cat, dog", threshold=threshold)


@pytest.mark.parametrize(
    ("words", "background", "threshold", "is_softmax", "is_sound"),
    [
        ("cat", None, 0.0, True, False),
        ("cat", None, 0.5, True, False),  # one name always has probability 1
        ("cat", None, 0.5, False, True),
        ("cat", "wall", 0.0, True, True),
        ("cat, dog", None, 0.0, False, True),
    ],
)
def test_a_single_category_is_a_caution(words, background, threshold, is_softmax, is_sound):
    assert (Request.of(words, background, threshold).caution(is_softmax) == "") == is_sound

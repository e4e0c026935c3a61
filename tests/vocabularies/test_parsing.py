"""Words from whatever a caller gives."""

from __future__ import annotations

import pytest

from ovss.vocabularies.parsing import names_of


def test_every_way_to_say_the_same(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cat\nsofa, couch\n")
    expected = ("cat", "sofa, couch")
    for words in ("cat, sofa|couch", " cat,sofa | couch ", ["cat", "sofa, couch"], path):
        assert names_of(words) == expected


def test_vocabularies_by_name():
    assert len(names_of("ade20k_150")) == 150


@pytest.mark.parametrize("words", ["", "  ", [], "cat,,dog", "cat, Cat", ["cat", " "], "cat, |"])
def test_no_words_blank_words_and_the_same_word_twice(words):
    with pytest.raises(ValueError, match=r"\w"):
        names_of(words)


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        names_of(tmp_path / "absent.txt")


def test_what_is_no_words_says_what_is():
    with pytest.raises(
        TypeError, match=r"words are a list of names, one string, or a Path, not int"
    ):
        names_of(3)

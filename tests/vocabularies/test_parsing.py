"""Tests of the parser of class names."""

from __future__ import annotations

import pytest

from ovss.vocabularies.parsing import names_of


def test_strings_lists_and_files_give_equal_names(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cat\nsofa, couch\n")
    expected = ("cat", "sofa, couch")
    for words in ("cat, sofa|couch", " cat,sofa | couch ", ["cat", "sofa, couch"], path):
        assert names_of(words) == expected


def test_registered_vocabularies():
    assert len(names_of("ade20k_150")) == 150


@pytest.mark.parametrize("words", ["", "  ", [], "cat,,dog", "cat, Cat", ["cat", " "], "cat, |"])
def test_empty_blank_and_repeated_names_are_errors(words):
    with pytest.raises(ValueError, match=r"\w"):
        names_of(words)


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        names_of(tmp_path / "absent.txt")


def test_an_argument_of_a_wrong_type_is_an_error():
    with pytest.raises(TypeError, match="must be a list of names, a string or a Path, got int"):
        names_of(3)

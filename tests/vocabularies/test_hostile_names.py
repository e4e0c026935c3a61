"""Names that no file, font or terminal should get."""

from __future__ import annotations

import os

import pytest

from ovss.vocabularies import load_names


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x85\x9b", "\ud800"])
def test_control_characters_and_lone_surrogates_are_refused(character):
    with pytest.raises(ValueError, match="contains the control character"):
        load_names(["cat", f"do{character}g"])


def test_line_breaks_become_spaces():
    assert load_names(["fire\nhydrant", "traffic\tlight"]) == ("fire hydrant", "traffic light")


def test_accents_in_two_unicode_forms_are_one_name():
    with pytest.raises(ValueError, match="names categories twice"):
        load_names(["caf\u00e9", "cafe\u0301"])


def test_many_and_long_names():
    names = load_names([*(f"category {i}" for i in range(100_000)), "x" * 10_000])
    assert len(names) == 100_001


def test_special_files_are_no_vocabulary(tmp_path):
    os.mkfifo(tmp_path / "names.txt")
    with pytest.raises(FileNotFoundError, match="not a regular file"):
        load_names(tmp_path / "names.txt")
    with pytest.raises(FileNotFoundError, match="NUL"):
        load_names("a\0b.txt")

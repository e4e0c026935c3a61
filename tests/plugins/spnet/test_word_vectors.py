"""Word vectors from text files: forms of names, several files, and files that are not right."""

from __future__ import annotations

import numpy as np
import pytest
from ovss_plugins.spnet.words import WordVectors, read_vectors

FAST = "3 2\ncat 1.0 0.0 \ntraffic 0.0 2.0\nlight 4.0 0.0\n"
WORD2VEC = "cat 0 0 3\nTraffic_Light 1 1 1\ncow 5 0 0\nlight 0 1 0\nzero 0 0 0\n"


@pytest.fixture
def files(tmp_path):
    fast, other = tmp_path / "fast.vec", tmp_path / "word2vec.txt"
    fast.write_text(FAST, encoding="utf-8")
    other.write_text(WORD2VEC, encoding="utf-8")
    return fast, other


def test_files_are_concatenated_before_the_norm_is_one(files):
    found = WordVectors(files, 5).vectors(["cat"])
    np.testing.assert_allclose(found, [[1 / 10**0.5, 0, 0, 0, 3 / 10**0.5]], rtol=1e-6)


def test_a_name_of_several_words_is_their_mean_unless_the_file_has_it_whole(files):
    fast, other = files
    mean = np.array([2.0, 1.0])  # of traffic and light
    for name in ("traffic light", "traffic-light", "Traffic Light"):
        np.testing.assert_allclose(
            WordVectors([fast], 2).vectors([name])[0], mean / 5**0.5, rtol=1e-6
        )
    whole = WordVectors([other], 3).vectors(["Traffic Light"])
    np.testing.assert_allclose(whole, np.full((1, 3), 3**-0.5), rtol=1e-6)
    unknown_word = WordVectors([fast], 2).vectors(["cat-other"])
    np.testing.assert_allclose(unknown_word, [[1, 0]])


def test_a_later_vocabulary_finds_its_own_words(files):
    words = WordVectors(files[1:], 3)
    assert words.vectors(["cat"])[0, 2] == 1
    assert words.vectors(["cow", "cat"])[:, 0].tolist() == [1, 0]


def test_names_without_a_vector_are_named(files):
    with pytest.raises(ValueError, match=r"Category 'grey owl' has no vector in .*fast\.vec"):
        WordVectors(files, 5).vectors(["cat", "grey owl"])
    with pytest.raises(ValueError, match=r"Expected word vectors of 7 dimensions.*give 5"):
        WordVectors(files, 7).vectors(["cat"])
    with pytest.raises(ValueError, match="word vectors of zero are zero"):
        WordVectors(files[1:], 3).vectors(["zero"])
    with pytest.raises(FileNotFoundError, match=r"gone\.vec does not exist"):
        WordVectors([files[0].parent / "gone.vec"], 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"dog 1 2\ncat 1\n", "Line 2 of .* has 1 numbers after its word, expected 2"),
        (b"dog 1 2\ncat\t1\t2\n", "Line 2 of .* has 0 numbers"),
        (b"cat 1 two\n", "Line 1 of .* does not hold finite numbers"),
        (b"cat 1 nan\n", "Line 1 of .* does not hold finite numbers"),
        (b"", "holds no word vectors"),
        (b"3 2\n", "holds no word vectors"),
        (b"x" * (1 << 20), "Line 1 of .* is too long"),
    ],
)
def test_files_that_are_not_right(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_vectors(path, ["cat"])


def test_words_are_found_by_their_bytes_and_the_first_line_wins(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("étoile 1 0\n\xa0 3 3\nétoile 0 1\n".encode() + b"\xff\xfe 1 1\nlast 2 2\n")
    found = read_vectors(path, ["étoile", "last", "none"])
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "étoile": [1, 0],
        "last": [2, 2],
    }

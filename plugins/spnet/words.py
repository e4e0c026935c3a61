"""Word vectors from text files: one word a line, followed by its numbers.

fastText's ``.vec`` files and word2vec's text files have this form. Their first line may give the
number of words and of dimensions instead. Files may have gigabytes, so they are read line by line,
and only the vectors of the requested words are kept.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovss.io.excerpts import excerpt, some_of
from ovss.io.regular import open_regular

__all__ = ["WordVectors", "made_up_vector"]

Vector = NDArray[np.float32]
_LINE_BYTES = 1 << 20
_PARTS = re.compile(r"[\s_\-/]+")


class WordVectors:
    """Vectors of names, looked up in one or more files whose vectors are concatenated.

    Args:
        files: text files of word vectors.
        dims: number of dimensions of all files together.

    Raises:
        FileNotFoundError: a file that does not exist.
    """

    def __init__(self, files: Sequence[str | Path], dims: int) -> None:
        self.files, self.dims = tuple(map(Path, files)), dims
        for path in self.files:
            if not path.is_file():
                raise FileNotFoundError(f"Word vector file {path} does not exist. Check the path.")
        self._known: list[dict[str, Vector | None]] = [{} for _ in self.files]

    def vector(self, name: str) -> Vector:
        """Unit vector of a name, see `vectors`."""
        return self.vectors([name])[0]

    def vectors(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (N, D) of names.

        A name is looked up as it is, with underscores instead of spaces, and in lower case. If no
        file of a kind has it, the mean of the vectors of its words is taken.

        Raises:
            ValueError: a name of which no word has a vector, a file with lines of another form, or
                files whose vectors do not have `dims` dimensions together.
        """
        wanted = {form for name in names for form in (*_whole(name), *_words(name))}
        for path, known in zip(self.files, self._known, strict=True):
            missing = {word for word in wanted if word not in known}
            if missing:
                known.update(dict.fromkeys(missing))
                known.update(read_vectors(path, missing))
        rows = [np.concatenate([self._part(name, i) for i in range(len(self.files))])
                for name in names]  # fmt: skip
        if rows and len(rows[0]) != self.dims:
            raise ValueError(
                f"Expected word vectors of {self.dims} dimensions, but "
                f"{', '.join(map(str, self.files))} give {len(rows[0])}. Change the option `dims`, "
                f"or name other files."
            )
        stacked_ND = np.stack(rows)
        length_N1 = np.linalg.norm(stacked_ND, axis=1, keepdims=True)
        if not length_N1.all():
            bad = some_of([name for name, zero in zip(names, length_N1[:, 0] == 0) if zero])
            raise ValueError(f"The word vectors of {bad} are zero. Use other names.")
        return stacked_ND / length_N1

    def _part(self, name: str, index: int) -> Vector:
        """Vector of a name in one file."""
        known = self._known[index]
        whole = [vector for form in _whole(name) if (vector := known.get(form)) is not None]
        if whole:
            return whole[0]
        found = []
        for word in _split(name):
            own = [v for form in (word, word.lower()) if (v := known.get(form)) is not None]
            found += own[:1]
        if not found:
            raise ValueError(
                f"Category {excerpt(name)} has no vector in {self.files[index]}, and neither have "
                f"its words. Use another name, or another file."
            )
        return np.mean(found, axis=0, dtype=np.float32)


def read_vectors(path: Path, words: Iterable[str]) -> dict[str, Vector]:
    """Vectors of some words; words that the file lacks are left out.

    Args:
        path: text file.
        words: words to look for. If a line repeats a word, the first one counts.

    Raises:
        ValueError: a line that is not UTF-8 or not a word and numbers, or lines of different
            lengths. The message gives the number of the line.
    """
    wanted = {word.encode(): word for word in words}
    found: dict[str, Vector] = {}
    dims = None
    with open_regular(path) as file:
        number = 0
        while line := file.readline(_LINE_BYTES):
            number += 1
            if len(line) == _LINE_BYTES:
                raise ValueError(f"Line {number} of {path} is too long for a word vector.")
            key, *numbers = line.rstrip(b" \r\n").split(b" ")
            if number == 1 and len(numbers) == 1 and key.isdigit() and numbers[0].isdigit():
                continue
            if dims is None and numbers:
                dims = len(numbers)
            if len(numbers) != dims:
                raise ValueError(
                    f"Line {number} of {path} has {len(numbers)} numbers after its word, expected "
                    f"{dims or 'at least one'}. Separate words and numbers with single spaces."
                )
            word = wanted.get(key)
            if word is not None and word not in found:
                found[word] = _numbers(numbers, path, number)
                if len(found) == len(wanted):
                    break
    if dims is None:
        raise ValueError(f"{path} holds no word vectors. Name a text file of word vectors.")
    return found


def _numbers(texts: list[bytes], path: Path, line: int) -> Vector:
    try:
        vector = np.array([float(text) for text in texts], dtype=np.float32)
    except ValueError:
        vector = np.array([np.nan], dtype=np.float32)
    if not np.isfinite(vector).all():
        raise ValueError(
            f"Line {line} of {path} does not hold finite numbers after its word. Correct the file."
        )
    return vector


def _whole(name: str) -> tuple[str, ...]:
    """Forms in which a file may hold a whole name."""
    joined = "_".join(name.split())
    return tuple(dict.fromkeys((name, joined, name.lower(), joined.lower())))


def _split(name: str) -> list[str]:
    return [word for word in _PARTS.split(name) if word]


def _words(name: str) -> list[str]:
    """Words of a name, as they are and in lower case."""
    return [form for word in _split(name) for form in (word, word.lower())]


def made_up_vector(name: str, dims: int) -> Vector:
    """Unit vector drawn from a name, in place of files; it means nothing."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(dims)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)

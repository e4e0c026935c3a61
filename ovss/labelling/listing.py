"""Inputs of `ovss label` as one list of images, in an order that depends on the inputs alone."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ovss.io.advice import advised
from ovss.io.names import ImageError, is_url, printable
from ovss.io.regular import open_regular
from ovss.io.sources import find_sources

from .parquet_images import ImageTable, file_token

__all__ = ["ImageInputs", "ListedImage", "list_images"]

LIST_SUFFIXES = (".txt", ".lst", ".list")
"""Suffixes of text files with one path or address a line."""

_TRIED = 100
"""Paths of a list of which at least one has to exist."""


class ListedImage(NamedTuple):
    """Image of a list.

    Args:
        key: name of the image in the results, printable.
        place: path as bytes, or address; the parquet file for an image that is in one; empty if the
            list has none.
        row: row in the parquet file that holds the image; -1 for an image with a path or address.
    """

    key: str
    place: bytes
    row: int = -1


@dataclass(frozen=True)
class ImageInputs:
    """What a user names as images.

    Args:
        sources: folders, patterns, image files, addresses, text lists and parquet files.
        column: column of parquet files that holds the images; None: found.
        key: column of parquet files that names the images; None: path, address or row.
        root: folder that paths in lists are relative to; None: the folder of the list.
    """

    sources: tuple[str, ...]
    column: str | None = None
    key: str | None = None
    root: str | None = None

    def recorded(self) -> dict[str, Any]:
        """Plain values for a file; paths are absolute."""
        places = [text if is_url(text) else os.path.abspath(text) for text in self.sources]
        root = None if self.root is None else os.path.abspath(self.root)
        return {**asdict(self), "sources": places, "root": root}


@dataclass
class Listing:
    """Counts and files of a list that is being made.

    Args:
        repeated: images that the inputs name more than once; each is labelled once.
        outputs: outputs of earlier runs that folders and patterns hold, which are left out.
        files: hash of each text list and parquet file, see `file_token`.
    """

    repeated: int = 0
    outputs: int = 0
    files: dict[str, str] = field(default_factory=dict)


def list_images(inputs: ImageInputs, listing: Listing) -> Iterator[ListedImage]:
    """Images of all inputs, in the order of the inputs; a folder is sorted by path.

    Args:
        inputs: inputs.
        listing: counts and files, filled while the images are read.

    Raises:
        ImageError, ValueError, OSError: an input does not exist, has no images, or is damaged.
    """
    seen: set[tuple[bytes, int]] = set()
    keys: Counter[str] = Counter()
    for source in inputs.sources:
        for image in _images_of(source, inputs, listing):
            if image.place and image[1:] in seen:
                listing.repeated += 1
                continue
            seen.add(image[1:])
            if inputs.key is not None:
                keys[image.key] += 1
                if keys[image.key] > 1:
                    repeated = ValueError(
                        f"{printable(source)}: expected another key for each image in the column "
                        f"{inputs.key!r}, found {image.key!r} twice"
                    )
                    raise advised(repeated, "label_key")
            yield image


def _images_of(source: str, inputs: ImageInputs, listing: Listing) -> Iterator[ListedImage]:
    lists = [] if is_url(source) else _lists(source)
    if not lists:
        yield from _found(source, listing)
    for path in lists:
        listing.files[os.path.abspath(path)] = file_token(path)
        if path.suffix.lower() == ".parquet":
            yield from _in_parquet(path, inputs)
        else:
            with open_regular(path, "r", errors="surrogateescape") as file:
                lines = (line.rstrip("\r\n") for line in file)
                yield from _named(path, ((text, text) for text in lines if text), inputs.root)


def _lists(source: str) -> list[Path]:
    """Text lists and parquet files that an input names; none for images."""
    if Path(source).suffix.lower() not in (*LIST_SUFFIXES, ".parquet") or os.path.isdir(source):
        return []
    if os.path.lexists(source):
        return [Path(source)]
    matches = sorted(map(Path, glob.glob(source, recursive=True)))
    if not matches:
        raise ImageError(f"{printable(source)}: no such file")
    return matches


def _found(source: str, listing: Listing) -> Iterator[ListedImage]:
    """Images that an input names directly; those of a folder at any depth."""
    pattern = source
    if os.path.isdir(source):
        pattern = os.path.join(glob.escape(source), "**", "*")
    found = find_sources([pattern])
    listing.outputs += len(found.skipped)
    for place in found.sources:
        if isinstance(place, Path):
            yield ListedImage(printable(place), os.fsencode(os.path.abspath(place)))
        elif is_url(place):
            yield ListedImage(printable(place), place.encode("utf-8", "surrogateescape"))
        else:
            raise ImageError("expected files or addresses, found the standard input")


def _in_parquet(path: Path, inputs: ImageInputs) -> Iterator[ListedImage]:
    table = ImageTable(path, inputs.column)
    keys = None if inputs.key is None else table.texts(inputs.key)
    if table.holds_bytes:
        place = os.fsencode(os.path.abspath(path))
        for row in range(table.rows):
            name = f"{printable(path)}:{row}" if keys is None else next(keys)
            yield ListedImage(name, place, row)
        return
    texts = table.texts()
    yield from _named(path, ((t, t if keys is None else next(keys)) for t in texts), inputs.root)


def _named(path: Path, names: Iterator[tuple[str, str]], root: str | None) -> Iterator[ListedImage]:
    """Images of a list by their paths or addresses; refuses a list of which no path exists."""
    folder, missing, number = path.parent if root is None else Path(root), 0, 0
    for number, (text, key) in enumerate(names, 1):
        if not text or is_url(text):
            yield ListedImage(printable(key), text.encode("utf-8", "surrogateescape"))
            continue
        place = os.path.abspath(folder / text)
        if missing == number - 1 and number <= _TRIED and not os.path.exists(place):
            missing += 1
            if missing == _TRIED:
                raise _all_missing(path, place)
        yield ListedImage(printable(key), os.fsencode(place))
    if missing and missing == number:
        raise _all_missing(path, place)


def _all_missing(path: Path, place: str) -> ImageError:
    problem = ImageError(
        f"{printable(path)}: none of its first paths exists, such as {printable(place)}"
    )
    return advised(problem, "label_root")

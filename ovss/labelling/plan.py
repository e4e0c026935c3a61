"""Stored list of the images of a labelling run, cut into shards."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ovss.io.files import write_atomic
from ovss.io.names import printable
from ovss.io.strict_json import parse_json

from .extras import import_parquet, import_pyarrow
from .listing import ImageInputs, ListedImage, Listing, list_images

__all__ = ["PLAN_FILE", "SHARD_SIZE", "LabelPlan", "PlanFacts", "make_plan", "write_plan"]

PLAN_FILE = "plan.parquet"
SHARD_SIZE = 256
"""Images of a shard unless the user chooses. A killed worker loses the work on one shard."""

_KEY = b"ovss"


@dataclass(frozen=True)
class PlanFacts:
    """Content of a plan without its images.

    Args:
        images: number of images.
        shard_size: images of a shard; the last one may have fewer.
        sha256: SHA-256 of the list and the shard size.
        inputs: what the list was made of, see `ImageInputs.recorded`.
        files: hashes of text lists and parquet files that the list was read from.
        repeated: images that the inputs named more than once.
        outputs: outputs of earlier runs that were left out.
    """

    images: int
    shard_size: int
    sha256: str
    inputs: dict[str, Any]
    files: dict[str, str]
    repeated: int = 0
    outputs: int = 0

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.images // self.shard_size)

    def rows(self, shard: int) -> range:
        """Numbers of the images of a shard."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.images))


class LabelPlan:
    """Plan in a file; a shard is a row group of it.

    Args:
        path: file that `make_plan` wrote.

    Raises:
        ValueError: the file is not a plan.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = import_parquet().ParquetFile(path)
            content = parse_json((self._file.metadata.metadata or {})[_KEY])
            self.facts = PlanFacts(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(
                f"{printable(path)}: expected the list of images of a labelling run, found another "
                "or a damaged file. Label into another folder"
            ) from None

    def shard(self, number: int) -> list[ListedImage]:
        """Images of a shard."""
        columns = self._file.read_row_group(number).to_pydict()
        return list(map(ListedImage, columns["key"], columns["place"], columns["row"]))


def make_plan(path: Path, inputs: ImageInputs, shard_size: int) -> None:
    """Lists the images of the inputs once and writes the plan.

    Args:
        path: file to create.
        inputs: inputs.
        shard_size: images of a shard.

    Raises:
        ImageError, ValueError, OSError: see `list_images`; or the list is empty.
    """
    listing = Listing()
    write_plan(path, list_images(inputs, listing), listing, inputs, shard_size)


def write_plan(
    path: Path,
    images: Iterable[ListedImage],
    listing: Listing,
    inputs: ImageInputs,
    shard_size: int,
) -> None:
    """Writes a plan of given images.

    Args:
        path: file to create.
        images: images in their order.
        listing: counts and files, complete once the images have been read.
        inputs: inputs that the plan records.
        shard_size: images of a shard.
    """
    write_atomic(path, lambda file: _write(file, images, listing, inputs, shard_size))


def _write(
    file: IO[bytes],
    images: Iterable[ListedImage],
    listing: Listing,
    inputs: ImageInputs,
    shard_size: int,
) -> None:
    pyarrow, parquet = import_pyarrow(), import_parquet()
    schema = pyarrow.schema(
        [("key", pyarrow.string()), ("place", pyarrow.binary()), ("row", pyarrow.int64())]
    )
    digest, count = hashlib.sha256(f"{shard_size}\n".encode()), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in _parts(images, shard_size):
            keys, places, rows = map(list, zip(*part))
            writer.write_table(
                pyarrow.table([keys, places, rows], schema=schema), row_group_size=shard_size
            )
            digest.update(json.dumps([[k, p.hex(), r] for k, p, r in part]).encode())
            count += len(part)
        if not count:
            raise ValueError("expected images, found none in the inputs. Name some")
        facts = PlanFacts(
            count,
            shard_size,
            digest.hexdigest(),
            inputs.recorded(),
            listing.files,
            listing.repeated,
            listing.outputs,
        )
        writer.add_key_value_metadata({_KEY: json.dumps(asdict(facts))})


def _parts(images: Iterable[ListedImage], size: int) -> Iterator[list[ListedImage]]:
    rest = iter(images)
    while part := list(itertools.islice(rest, size)):
        yield part

"""Files of finished shards: written by one rename, read back with checks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.files import write_atomic
from ovss.io.names import printable
from ovss.io.strict_json import parse_json

from .extras import import_parquet, import_pyarrow
from .rows import ERROR, shard_schema

__all__ = [
    "SHARD_FOLDER",
    "ShardFacts",
    "read_shard_facts",
    "read_shard_rows",
    "shard_path",
    "write_shard",
]

SHARD_FOLDER = "shards"
_KEY = b"ovss"


@dataclass(frozen=True)
class ShardFacts:
    """What the metadata of a shard says.

    Args:
        shard: number of the shard.
        images: number of its rows.
        errors: rows with an error.
        job: hash of model, rules and list, see `ovss.labelling.job.LabelJob.sha256`.
    """

    shard: int
    images: int
    errors: int
    job: str


def shard_path(folder: Path, number: int) -> Path:
    """File of a shard in the folder of a run."""
    return folder / SHARD_FOLDER / f"shard-{number:06d}.parquet"


def write_shard(
    folder: Path, number: int, rows: list[dict[str, Any]], job: str, more: dict[str, Any]
) -> ShardFacts:
    """Writes a shard; equal rows give equal bytes.

    Args:
        folder: folder of the run.
        number: number of the shard.
        rows: rows in the order of the plan.
        job: hash of the run.
        more: further values for the metadata.
    """
    pyarrow, parquet = import_pyarrow(), import_parquet()
    errors = sum(row["status"] == ERROR for row in rows)
    facts = ShardFacts(number, len(rows), errors, job)
    text = json.dumps({**more, **vars(facts)}, sort_keys=True)
    schema = shard_schema().with_metadata({_KEY: text.encode()})
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    write_atomic(
        shard_path(folder, number),
        lambda file: parquet.write_table(table, file, compression="zstd"),
    )
    return facts


def read_shard_facts(folder: Path, number: int) -> ShardFacts | None:
    """Facts of a finished shard from its footer; None if there is none, or a damaged file."""
    path = shard_path(folder, number)
    try:
        metadata = import_parquet().read_schema(path).metadata or {}
        content = parse_json(metadata[_KEY])
        return ShardFacts(*(content[key] for key in ("shard", "images", "errors", "job")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_shard_rows(folder: Path, number: int) -> list[dict[str, Any]]:
    """Rows of a finished shard.

    Raises:
        ValueError: the shard is not finished, or its file is damaged.
    """
    path = shard_path(folder, number)
    try:
        rows: list[dict[str, Any]] = import_parquet().read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"{printable(path)}: cannot be read ({reason})") from None
    return rows

"""What an evaluation leaves: a JSON file with its figures and all it takes to get them again.

Written whole or not at all; read back only if it is of this format, complete, and what it says.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ovss.io.files import ensure_writable, write_text
from ovss.protocols.named import method_hash

__all__ = [
    "SCHEMA",
    "DataRecord",
    "ProtocolRecord",
    "Result",
    "ResultError",
    "RunRecord",
    "WeightsRecord",
    "ensure_place",
    "read_result",
    "write_result",
]

SCHEMA = 2
"""Number of the format that is written. Format 1, which had one hash, is read as well; any other is
refused, because a result must not be half understood."""
_ONE_HASH = 1


class ResultError(ValueError):
    """A result file that cannot be read, is of another format, or is incomplete."""


@dataclass(frozen=True)
class ProtocolRecord:
    """How it was measured.

    Args:
        name: a named protocol, and the fields that differ from it.
        method_hash: of the method's fields alone, as `ovss list protocols` shows it.
        full_hash: of every field, the data's rules included.
        fields: every field.
    """

    name: str
    method_hash: str
    full_hash: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class DataRecord:
    """What was looked at.

    Args:
        name: of the data set, as a table prints it.
        folder: where its files were; empty for a drawn one.
        pictures: how many were scored.
        categories: T.
        census: SHA-256 over the category names and their true pixels: the same labels were read.
    """

    name: str
    folder: str
    pictures: int
    categories: int
    census: str


@dataclass(frozen=True)
class WeightsRecord:
    """What was evaluated.

    Args:
        file: checkpoint as it was named; None: what is trained stayed random or has no file.
        sha256: of that file.
        encoder: the pre-trained file or tag that the encoder started from; None: random.
        encoder_sha256, model_sha256: of the names, types, shapes and bytes of all tensors, after
            loading: the same whatever file they came from.
    """

    file: str | None
    sha256: str | None
    encoder: str | None
    encoder_sha256: str
    model_sha256: str


@dataclass(frozen=True)
class RunRecord:
    """When, where and what it took.

    Args:
        command: words of the command line.
        started, ended: UTC, ISO 8601.
        seconds: wall clock of the pass over the pictures, sum of all sessions if resumed.
        seconds_per_picture: that, by the number of pictures.
        sessions: 1, or more if it was resumed.
        ranks: processes of the last session.
        peak_memory: bytes of the largest process: ``resident`` and, on a GPU, ``gpu``.
        device: ``kind`` (cpu, cuda), ``name``, ``threads``, ``precision`` of parameters, and of
            their products, ``matmul``.
        versions: of ovss, Python and the packages that compute.
    """

    command: list[str]
    started: str
    ended: str
    seconds: float
    seconds_per_picture: float
    sessions: int
    ranks: int
    peak_memory: dict[str, int]
    device: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class Result:
    """An evaluation.

    Args:
        metrics: name -> percent, None where nothing is to say; unrounded.
        headline: which of them the protocol quotes.
        categories: name -> its row (``iou``, ``accuracy``, ``seen``, ``pixels``, ``predicted``).
        config_name: of the method.
        config: the config that ran, as text.
    """

    metrics: dict[str, float | None]
    headline: str
    categories: dict[str, dict[str, Any]]
    protocol: ProtocolRecord
    data: DataRecord
    weights: WeightsRecord
    run: RunRecord
    config_name: str
    config: str


_KINDS: dict[str, Any] = {"dict": dict, "list": list, "str": str, "int": int, "float": (int, float)}
"""Outermost type of a field -> what JSON makes of it."""

_PARTS: dict[str, Any] = {
    "protocol": ProtocolRecord,
    "data": DataRecord,
    "weights": WeightsRecord,
    "run": RunRecord,
}


def ensure_place(path: str | Path) -> None:
    """See to it, before hours of work, that a result can be written.

    Raises:
        OSError: the folder cannot be made or written, or the path is a folder itself.
    """
    place = Path(path).absolute()
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name a file in it", str(path))
    ensure_writable(place.parent)


def write_result(path: str | Path, result: Result) -> None:
    """Write a result, replacing the file as a whole.

    Raises:
        OSError: the folder cannot be written; no partial file stays.
    """
    text = json.dumps({"schema": SCHEMA, **asdict(result)}, indent=1, allow_nan=False)
    write_text(path, f"{text}\n")


def read_result(path: str | Path) -> Result:
    """Read what `write_result` wrote.

    Raises:
        ResultError: no such file, truncated, no result file, of another format, or incomplete.
    """
    content = _read_json(Path(path))
    if not isinstance(content, dict) or "schema" not in content:
        raise ResultError(f"{path} is not a result file. Give a file that `ovss test` wrote")
    if content["schema"] not in (SCHEMA, _ONE_HASH):
        raise ResultError(
            f"{path} is of result format {content['schema']!r}, written by ovss "
            f"{_writer(content)}. This is ovss {_own_version()}, which reads formats {_ONE_HASH} "
            f"and {SCHEMA}. Use the version that wrote it, or evaluate again with `ovss test`"
        )
    if content["schema"] == _ONE_HASH:
        content["protocol"] = _with_both_hashes(content.get("protocol"))
    parts = {name: _build(kind, content.get(name), name, path) for name, kind in _PARTS.items()}
    rest = {key: value for key, value in content.items() if key != "schema"}
    result: Result = _build(Result, {**rest, **parts}, "", path)
    _check_figures(result, path)
    return result


def _with_both_hashes(protocol: Any) -> Any:
    """Protocol of format 1, whose one hash is the full hash; the fields give the other."""
    if not isinstance(protocol, Mapping) or protocol.keys() != {"name", "hash", "fields"}:
        return protocol  # refused later, by name
    name, fields = str(protocol["name"]), protocol["fields"]
    known = method_hash(fields, name) if isinstance(fields, Mapping) else ""
    return {
        "name": protocol["name"],
        "method_hash": known,
        "full_hash": protocol["hash"],
        "fields": fields,
    }


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result file") from None
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not JSON ({error}). Copy it "
            f"again, or write it again with `ovss test`"
        ) from error


def _build(kind: type, content: Any, where: str, path: str | Path) -> Any:
    """A record of what a file says, every key in it known and none missing."""
    wanted = [field.name for field in fields(kind)]
    if not isinstance(content, Mapping):
        raise ResultError(f"{path}: {where!r} is missing or no object; the file was edited or cut")
    missing = [name for name in wanted if name not in content]
    extra = [str(name) for name in content if name not in wanted]
    if missing or extra:
        wrong = " and ".join(
            f"{what} {', '.join(names)}"
            for what, names in (("lacks", missing), ("has unknown", extra))
            if names
        )
        place = f"{path}: {where!r}" if where else str(path)
        raise ResultError(f"{place} {wrong}; the file was edited, or is not of format {SCHEMA}")
    for field in fields(kind):
        value, wanted_kind = content[field.name], _KINDS.get(str(field.type).partition("[")[0])
        if wanted_kind is not None and not isinstance(value, wanted_kind):
            raise ResultError(
                f"{path}: {where + '.' if where else ''}{field.name} is {str(value)[:40]!r}, not "
                f"of type {field.type}; the file was edited"
            )
    return kind(**content)


def _check_figures(result: Result, path: str | Path) -> None:
    for name, value in result.metrics.items():
        if value is not None and not isinstance(value, (int, float)):
            raise ResultError(f"{path}: metric {name!r} is {value!r}, not a number or null")
    if result.headline not in result.metrics:
        raise ResultError(f"{path}: the quoted metric {result.headline!r} is not among the metrics")


def _writer(content: Mapping[str, Any]) -> str:
    run = content.get("run")
    versions = run.get("versions") if isinstance(run, Mapping) else None
    return str(versions.get("ovss", "?")) if isinstance(versions, Mapping) else "?"


def _own_version() -> str:
    from ovss import __version__

    return __version__

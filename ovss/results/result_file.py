"""Result files: JSON with the metrics of an evaluation and everything needed to reproduce them.

A file is written as a whole or not at all. It is read only if its format is known and it is
complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ovss.io.files import ensure_target, write_text
from ovss.io.regular import open_regular
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
"""Format of the files that are written. Format 1, which had one hash, can be read as well.

Any other format is refused, because a result must not be misread.
"""
_ONE_HASH = 1


class ResultError(ValueError):
    """A result file cannot be read, has an unknown format, or is incomplete."""


@dataclass(frozen=True)
class ProtocolRecord:
    """Protocol of an evaluation.

    Args:
        name: name of the closest named protocol, with the fields that differ from it.
        method_hash: hash of all fields except those of the dataset, as in `ovss list protocols`.
        full_hash: hash of every field, including those of the dataset.
        fields: values of all fields.
    """

    name: str
    method_hash: str
    full_hash: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class DataRecord:
    """Dataset of an evaluation.

    Args:
        name: name of the dataset in tables.
        folder: folder of its files; empty for a generated dataset.
        images: number of evaluated images.
        categories: number of categories T.
        census: SHA-256 over the category names and their true pixels. If it is equal in two
            results, they were evaluated against the same labels.
    """

    name: str
    folder: str
    images: int
    categories: int
    census: str


@dataclass(frozen=True)
class WeightsRecord:
    """Weights of an evaluated model.

    Args:
        file: checkpoint as named by the user or the config; None: no checkpoint was loaded.
        sha256: SHA-256 of `file`.
        encoder: pre-trained file or tag of the encoder; None: random weights.
        encoder_sha256: SHA-256 over names, types, shapes and bytes of the encoder's tensors, as
            loaded, so it does not depend on the file format.
        model_sha256: SHA-256 over the tensors of the whole model.
    """

    file: str | None
    sha256: str | None
    encoder: str | None
    encoder_sha256: str
    model_sha256: str


@dataclass(frozen=True)
class RunRecord:
    """Time, machine and resources of an evaluation.

    Args:
        command: command line, split into arguments.
        started: start of the first session (UTC, ISO 8601).
        ended: end of the last session (UTC, ISO 8601).
        seconds: wall-clock seconds of the pass over the images, summed over sessions.
        seconds_per_image: `seconds` divided by the number of images.
        sessions: number of sessions; 1 if the run was never resumed.
        ranks: number of ranks in the last session.
        peak_memory: bytes of the largest rank: ``resident``, and ``gpu`` if a GPU was used.
        device: ``kind`` (cpu, cuda), ``name``, ``threads``, ``precision`` of parameters and
            ``matmul``, the precision of their products.
        versions: versions of ovss, Python and the packages that computations depend on.
    """

    command: list[str]
    started: str
    ended: str
    seconds: float
    seconds_per_image: float
    sessions: int
    ranks: int
    peak_memory: dict[str, int]
    device: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class Result:
    """Result of one evaluation.

    Args:
        metrics: metrics by name, in percent and unrounded; None if undefined.
        headline: name of the metric that the protocol quotes.
        categories: ``iou``, ``accuracy``, ``seen``, ``pixels`` and ``predicted`` of each category.
        protocol: protocol of the evaluation.
        data: dataset of the evaluation.
        weights: weights of the model.
        run: time, machine and resources.
        config_name: name of the method's config.
        config: final config as text.
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
"""Types that JSON gives for the outermost type of a field."""

_FILE_KEYS = {"images": "pictures", "seconds_per_image": "seconds_per_picture"}
"""Keys in files of fields that are named differently there."""

_PARTS: dict[str, Any] = {
    "protocol": ProtocolRecord,
    "data": DataRecord,
    "weights": WeightsRecord,
    "run": RunRecord,
}


def ensure_place(path: str | Path) -> None:
    """Checks, before hours of work, that a result can be written.

    Raises:
        OSError: the folder cannot be created or written to, or a folder, device or pipe is at the
            path.
    """
    ensure_target(path)


def write_result(path: str | Path, result: Result) -> None:
    """Writes a result, replacing the file as a whole.

    Raises:
        OSError: the folder cannot be written to; no partial file is left behind.
    """
    content = asdict(result, dict_factory=_with_file_keys)
    text = json.dumps({"schema": SCHEMA, **content}, indent=1, allow_nan=False)
    write_text(path, f"{text}\n")


def _with_file_keys(fields_of_record: list[tuple[str, Any]]) -> dict[str, Any]:
    """Dict of a record with the keys of files."""
    return {_FILE_KEYS.get(name, name): value for name, value in fields_of_record}


def read_result(path: str | Path) -> Result:
    """Reads a result that `write_result` wrote.

    Raises:
        ResultError: the file does not exist, is truncated, is not a result file, has an unknown
            format, or is incomplete.
    """
    content = _read_json(Path(path))
    if not isinstance(content, dict) or "schema" not in content:
        raise ResultError(f"{path} is not a result file. Give a file that `ovss test` wrote")
    if content["schema"] not in (SCHEMA, _ONE_HASH):
        raise ResultError(
            f"{path} has result format {content['schema']!r}, written by ovss "
            f"{_writer(content)}. This is ovss {_own_version()}, which reads formats {_ONE_HASH} "
            f"and {SCHEMA}. Use the version that wrote it, or evaluate again with `ovss test`"
        )
    if content["schema"] == _ONE_HASH:
        content["protocol"] = _with_both_hashes(content.get("protocol"))
    parts = {name: _build(kind, content.get(name), name, path) for name, kind in _PARTS.items()}
    rest = {key: value for key, value in content.items() if key != "schema"}
    result: Result = _build(Result, {**rest, **parts}, "", path)
    _check_metrics(result, path)
    return result


def _with_both_hashes(protocol: Any) -> Any:
    """Protocol of format 1 with both hashes; its one hash is the full hash."""
    if not isinstance(protocol, Mapping) or protocol.keys() != {"name", "hash", "fields"}:
        return protocol  # `_build` names the missing and unknown keys
    name, fields = str(protocol["name"]), protocol["fields"]
    computed = method_hash(fields, name) if isinstance(fields, Mapping) else ""
    return {
        "name": protocol["name"],
        "method_hash": computed,
        "full_hash": protocol["hash"],
        "fields": fields,
    }


def _read_json(path: Path) -> Any:
    try:
        with open_regular(path, "r") as file:
            return json.load(file)
    except FileNotFoundError:
        raise ResultError(f"The result file {path} does not exist") from None
    except OSError as error:
        raise ResultError(f"The result file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not JSON ({error}). Copy it "
            f"again, or write it again with `ovss test`"
        ) from error


def _build(kind: type, content: Any, where: str, path: str | Path) -> Any:
    """Record built from the content of a file, after checking its keys and types."""
    if not isinstance(content, Mapping):
        raise ResultError(
            f"{where!r} in {path} must be an object, but is missing or something else. Use an "
            f"unedited copy"
        )
    keys = {_FILE_KEYS.get(field.name, field.name): field for field in fields(kind)}
    missing = [key for key in keys if key not in content]
    extra = [str(key) for key in content if key not in keys]
    if missing or extra:
        problem = " and ".join(
            f"{verb} {', '.join(names)}"
            for verb, names in (("lacks", missing), ("has unknown", extra))
            if names
        )
        subject = f"{where!r} in {path}" if where else str(path)
        raise ResultError(
            f"{subject} {problem}, because the file was edited or does not have format {SCHEMA}. "
            f"Use an unedited copy"
        )
    for key, field in keys.items():
        value, allowed = content[key], _KINDS.get(str(field.type).partition("[")[0])
        if allowed is not None and not isinstance(value, allowed):
            raise ResultError(
                f"{where + '.' if where else ''}{key} in {path} must be of type {field.type}, but "
                f"is {str(value)[:40]!r}. Use an unedited copy"
            )
    return kind(**{field.name: content[key] for key, field in keys.items()})


def _check_metrics(result: Result, path: str | Path) -> None:
    for name, value in result.metrics.items():
        if value is not None and not isinstance(value, (int, float)):
            raise ResultError(
                f"The metric {name!r} in {path} must be a number or null, but is {value!r}"
            )
    if result.headline not in result.metrics:
        raise ResultError(
            f"The quoted metric {result.headline!r} in {path} is not among the metrics "
            f"{', '.join(result.metrics)}"
        )


def _writer(content: Mapping[str, Any]) -> str:
    run = content.get("run")
    versions = run.get("versions") if isinstance(run, Mapping) else None
    return str(versions.get("ovss", "?")) if isinstance(versions, Mapping) else "?"


def _own_version() -> str:
    from ovss import __version__

    return __version__

"""Result files: JSON with the metrics of an evaluation and everything needed to reproduce them.

A file is written as a whole or not at all. It is read only if its format is known, it is complete,
and its figures follow from one another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ovss.io.files import ensure_target, write_text
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.io.typed import record_from
from ovss.protocols.named import method_hash

from .records import DataRecord, ProtocolRecord, Result, ResultError, RunRecord, WeightsRecord

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

_FILE_KEYS = {"images": "pictures", "seconds_per_image": "seconds_per_picture"}
"""Keys in files of fields that are named differently there."""

_PARTS: dict[str, Any] = {
    "protocol": ProtocolRecord,
    "data": DataRecord,
    "weights": WeightsRecord,
    "run": RunRecord,
}
_LARGEST = 1 << 28  # bytes; 100,000 classes take a tenth of it
_EDITED = "The file was edited or is damaged. Use an unedited copy"


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
        ValueError: a value is NaN or infinite.
    """
    content = asdict(result, dict_factory=_with_file_keys)
    text = json.dumps({"schema": SCHEMA, **content}, indent=1, allow_nan=False)
    write_text(path, f"{text}\n")


def _with_file_keys(fields_of_record: list[tuple[str, Any]]) -> dict[str, Any]:
    """Dict of a record with the keys of files."""
    return {_FILE_KEYS.get(name, name): value for name, value in fields_of_record}


def read_result(path: str | Path) -> Result:
    """Reads a result that `write_result` wrote, and checks that its figures are possible.

    Raises:
        ResultError: the file does not exist, is truncated, is not a result file, has an unknown
            format, is incomplete, or has figures that do not follow from one another.
    """
    from .result_checks import check_result

    content = _read_json(Path(path))
    if not isinstance(content, dict) or "schema" not in content:
        raise ResultError(f"{path} is not a result file. Give a file that `ovss test` wrote")
    schema = content["schema"]
    if isinstance(schema, bool) or schema not in (SCHEMA, _ONE_HASH):
        raise ResultError(
            f"{path} has result format {repr(schema)[:40]}, written by ovss "
            f"{_writer(content)}. This is ovss {_own_version()}, which reads formats {_ONE_HASH} "
            f"and {SCHEMA}. Use the version that wrote it, or evaluate again with `ovss test`"
        )
    if schema == _ONE_HASH:
        content["protocol"] = _with_both_hashes(content.get("protocol"))
    try:
        parts = {
            name: record_from(kind, content.get(name), f"{name!r} in {path}", _EDITED, _FILE_KEYS)
            for name, kind in _PARTS.items()
        }
        rest = {key: value for key, value in content.items() if key != "schema"}
        result: Result = record_from(Result, {**rest, **parts}, str(path), _EDITED)
        check_result(result, str(path))
    except ResultError:
        raise
    except ValueError as error:
        raise ResultError(str(error)) from None
    return result


def _with_both_hashes(protocol: Any) -> Any:
    """Protocol of format 1 with both hashes; its one hash is the full hash."""
    if not isinstance(protocol, Mapping) or protocol.keys() != {"name", "hash", "fields"}:
        return protocol  # `record_from` names the missing and unknown keys
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
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST:
                raise ResultError(
                    f"{path} has {size:,} bytes, more than any result. Give a file that `ovss "
                    f"test` wrote"
                )
            return parse_json(file.read())
    except FileNotFoundError:
        raise ResultError(f"The result file {path} does not exist") from None
    except OSError as error:
        raise ResultError(f"The result file {path} cannot be read: {error.strerror}") from error
    except ResultError:
        raise
    except ValueError as error:
        raise ResultError(
            f"{path} ({size:,} bytes) {error}. Copy it again, or write it again with `ovss test`"
        ) from None


def _writer(content: Mapping[str, Any]) -> str:
    run = content.get("run")
    versions = run.get("versions") if isinstance(run, Mapping) else None
    return str(versions.get("ovss", "?"))[:40] if isinstance(versions, Mapping) else "?"


def _own_version() -> str:
    from ovss import __version__

    return __version__

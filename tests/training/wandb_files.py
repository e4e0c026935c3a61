"""Reader of the files that Weights & Biases writes offline: a log of records in blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_HEADER, _BLOCK = 7, 32768
_FULL, _FIRST, _LAST = 1, 2, 4


def _messages(data: bytes) -> Iterator[bytes]:
    """Records of a file; a record may be cut into parts, none of which crosses a block."""
    position, parts = _HEADER, b""
    while position + _HEADER <= len(data):
        if _BLOCK - position % _BLOCK < _HEADER:
            position += _BLOCK - position % _BLOCK
            continue
        length, kind = (
            int.from_bytes(data[position + 4 : position + 6], "little"),
            data[position + 6],
        )
        position += _HEADER
        part, position = data[position : position + length], position + length
        parts = part if kind in (_FULL, _FIRST) else parts + part
        if kind in (_FULL, _LAST):
            yield parts


def read_offline(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], set[str]]:
    """Rows, settings and identities of all offline runs in a folder, in the order of time."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    rows, settings, identities = [], {}, set()
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for message in _messages(path.read_bytes()):
            record = pb.Record()
            record.ParseFromString(message)
            if record.HasField("history"):
                items = {i.key or "/".join(i.nested_key): i.value_json for i in record.history.item}
                rows.append({key: json.loads(value) for key, value in items.items()})
            if record.HasField("run"):
                identities.add(record.run.run_id)
                for item in record.run.config.update:
                    settings[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return rows, settings, identities

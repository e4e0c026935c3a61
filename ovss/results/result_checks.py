"""Checks that the parts of a result are possible and agree with one another."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from ovss.io.hashing import content_hash, short_hash
from ovss.io.text import control_character
from ovss.protocols.named import method_hash
from ovss.protocols.protocol import ABSENT
from ovss.structures import SYNONYM_RULES

from .figures import EDITED, check_metrics, check_rows
from .records import Result, ResultError, RunRecord

__all__ = ["check_result"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(r"[0-9a-f]{12}")


def check_result(result: Result, path: str) -> None:
    """Checks a result that was read from a file.

    Args:
        result: result whose fields have the right types.
        path: its file, for messages.

    Raises:
        ResultError: a figure, count, hash, date or name is impossible, or differs from what the
            rest of the file gives.
    """
    for problem in _problems(result):
        raise ResultError(f"{path} {problem}. {EDITED}")
    check_rows(result.categories, path)
    check_metrics(result.metrics, result.categories, path)
    census = _census(result)
    if result.data.census != census:
        raise ResultError(
            f"{path} records the census {result.data.census[:12]!r}, but the names and true pixels "
            f"of its classes give {census[:12]!r}. {EDITED}"
        )


def _problems(result: Result) -> Iterator[str]:
    """Ends of sentences whose subject is the file."""
    yield from _problems_of_names(result)
    yield from _problems_of_protocol(result)
    yield from _problems_of_data(result)
    yield from _problems_of_weights(result)
    yield from _problems_of_run(result.run, result.data.images)


def _problems_of_names(result: Result) -> Iterator[str]:
    texts: dict[str, Any] = {
        "config_name": result.config_name,
        "headline": result.headline,
        "data.name": result.data.name,
        "protocol.name": result.protocol.name,
        **{f"run.device.{key}": value for key, value in result.run.device.items()},
        **{f"run.versions.{key}": value for key, value in result.run.versions.items()},
    }
    for key, value in texts.items():
        for text in (key, value):
            hidden = control_character(text) if isinstance(text, str) else None
            if hidden:
                yield f"has the control character {hidden} in {key.encode('unicode_escape')!r}"
        if key in ("config_name", "data.name", "protocol.name") and not value.strip():
            yield f"has an empty {key}"
    if result.headline not in result.metrics:
        listed = ", ".join(map(repr, result.metrics))[:200]
        yield f"quotes the metric {result.headline[:40]!r}, which is not among its metrics {listed}"


def _problems_of_protocol(result: Result) -> Iterator[str]:
    protocol = result.protocol
    fields = protocol.fields
    computed = short_hash(fields)
    if protocol.full_hash != computed:
        yield (
            f"records the full hash {protocol.full_hash[:40]!r} of its protocol, but the recorded "
            f"fields have the hash {computed!r}"
        )
    if protocol.method_hash not in _method_hashes(fields, protocol.name):
        expected = method_hash(fields, protocol.name)
        yield (
            f"records the method hash {protocol.method_hash[:40]!r} of its protocol, but the "
            f"recorded fields have the hash {expected!r}"
        )
    scores = fields.get("scores")
    absent = scores.get("absent") if isinstance(scores, Mapping) else None
    quoted = ABSENT[absent][0] if isinstance(absent, str) and absent in ABSENT else None
    if quoted != result.headline:
        yield f"quotes {result.headline[:40]!r}, but its protocol quotes {quoted!r}"


def _method_hashes(fields: Mapping[str, Any], name: str) -> set[str]:
    """Possible method hashes of recorded fields.

    Where names have no synonyms, the hash covers the rule of the named protocol, which another
    version of ovss may have defined.
    """
    hashes = {method_hash(fields, name)}
    prompts = fields.get("prompts")
    if isinstance(prompts, Mapping) and prompts.get("synonyms") == "none":
        for rule in SYNONYM_RULES:
            with_rule = {**fields, "prompts": {**prompts, "synonyms": rule}, "data": None}
            hashes.add(short_hash(with_rule))
    return hashes


def _problems_of_data(result: Result) -> Iterator[str]:
    data, rules = result.data, result.protocol.fields.get("data")
    if data.images < 1:
        yield f"records {data.images:,} images, but a result needs at least 1"
    if data.categories != len(result.categories):
        yield f"records {data.categories:,} classes, but has rows of {len(result.categories):,}"
    if not isinstance(rules, Mapping):
        return
    if rules.get("classes") not in (None, data.categories):
        yield f"records {data.categories:,} classes, but its protocol has {rules['classes']!r}"
    limit = rules.get("limit")
    if isinstance(limit, int) and (
        data.images > limit or not data.name.endswith(f" (limit {limit})")
    ):
        yield (
            f"records {data.images:,} images of {data.name[:60]!r}, but its protocol is limited to "
            f"{limit:,} images, which its name must say"
        )


def _problems_of_weights(result: Result) -> Iterator[str]:
    weights = result.weights
    hashes = {
        "weights.sha256": weights.sha256,
        "weights.encoder_sha256": weights.encoder_sha256,
        "weights.model_sha256": weights.model_sha256,
        "data.census": result.data.census,
    }
    for key, value in hashes.items():
        if value is not None and not _SHA256.fullmatch(value):
            yield f"has {value[:70]!r} for {key}, which is not a SHA-256"
    if (weights.file is None) != (weights.sha256 is None):
        yield "must have both or neither of weights.file and weights.sha256"
    for key in ("method_hash", "full_hash"):
        value = getattr(result.protocol, key)
        if not _HASH.fullmatch(value):
            yield f"has {value[:40]!r} for protocol.{key}, which is not a hash of 12 digits"


def _problems_of_run(run: RunRecord, images: int) -> Iterator[str]:
    numbers = {"seconds": run.seconds, "seconds_per_picture": run.seconds_per_image}
    counts = {"sessions": run.sessions, "ranks": run.ranks}
    for key, value in numbers.items():
        if not 0 <= value < math.inf:
            yield f"has {value!r} for run.{key}, which is not a time"
    if not math.isclose(run.seconds, run.seconds_per_image * images, rel_tol=1e-6, abs_tol=1e-9):
        yield (
            f"records {run.seconds:g} seconds for {images:,} images, but "
            f"{run.seconds_per_image:g} seconds per image"
        )
    for key, count in counts.items():
        if count < 1:
            yield f"has {count!r} for run.{key}; expected at least 1"
    for key, size in run.peak_memory.items():
        if size < 0:
            yield f"has {size!r} bytes for run.peak_memory.{key[:20]}"
    dates = [_date(text) for text in (run.started, run.ended)]
    for key, text, date in zip(("started", "ended"), (run.started, run.ended), dates):
        if date is None:
            yield f"has {text[:40]!r} for run.{key}, which is not a date as 2026-01-31T12:00:00"
    start, end = dates
    if start is not None and end is not None and end < start:
        yield f"ends at {run.ended} before it starts at {run.started}"


def _date(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _census(result: Result) -> str:
    pixels = [row["pixels"] for row in result.categories.values()]
    return content_hash([list(result.categories), pixels])

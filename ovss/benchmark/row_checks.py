"""Checks of measured rows that are read back from a JSON file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ovss.evaluation.iou import harmonic_mean
from ovss.io.strict_json import parse_json
from ovss.io.text import control_character
from ovss.io.typed import has_type

from .table_jobs import Job

__all__ = ["read_rows"]

_LARGEST = 1 << 26  # bytes
_PERCENT = ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")
_COUNTS = ("categories", "images", "parameters", "learnable")
_NUMBERS = ("kept", "gflops", "seconds")
_MADE_WITH = {"ovss": str, "torch": str, "python": str, "device": str, "threads": int}
_KEYS = {"job", "clock", "memory", "upper_bound", "made_with", *_PERCENT, *_COUNTS, *_NUMBERS}
_ROUNDING = 4e-4  # of a harmonic mean, because the metrics are rounded to four digits


def read_rows(file: str | Path) -> list[dict[str, Any]]:
    """Reads the rows in a file; returns an empty list if the file does not exist.

    Rows of older versions, which lack keys, are left out.

    Raises:
        ValueError: the file holds something else, or a row has a value that cannot have been
            measured. The message gives the row and the value.
    """
    path = Path(file)
    if path.is_dir():
        raise ValueError(f"{path} is a folder. Choose a file for the rows")
    if not path.is_file():
        return []
    advice = "Choose another file, or remove it"
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is too large to hold rows of this table. {advice}")
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} {error}. {advice}") from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(has_type(row, dict) for row in rows):
        raise ValueError(f"{path} does not hold rows of this table. {advice}")
    kept = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("job"), dict):
            raise ValueError(f"{path} does not hold rows of this table. {advice}")
        if "images" not in row:
            continue
        row.setdefault("upper_bound", False)  # rows of versions without upper bounds
        for problem in _problems(row):
            raise ValueError(
                f"Row {number} in {path} {problem}, so it was edited or is damaged. {advice}"
            )
        kept.append(row)
    return kept


def _problems(row: Mapping[str, Any]) -> Iterator[str]:
    """Ends of sentences whose subject is the row."""
    if row.keys() != _KEYS:
        differing = sorted(map(str, row.keys() ^ _KEYS))
        yield f"lacks or adds {', '.join(key[:30] for key in differing[:4])}"
        return
    yield from _problems_of_job(row["job"])
    for key in _PERCENT:
        value = row[key]
        if value is not None and not (has_type(value, float) and 0 <= value <= 100):
            yield f"has {key} {str(value)[:30]!r}, which is not in 0..100"
    for key in _COUNTS:
        if not (has_type(row[key], int) and row[key] >= (key == "images")):
            yield f"has {key} {str(row[key])[:30]!r}, which is not a count"
    for key in _NUMBERS:
        if not (has_type(row[key], float) and 0 <= row[key] < math.inf):
            yield f"has {key} {str(row[key])[:30]!r}, which is not a number of at least 0"
    if row["memory"] is not None and not (has_type(row["memory"], int) and row["memory"] >= 0):
        yield f"has memory {str(row['memory'])[:30]!r}, which is not a number of bytes"
    if not has_type(row["upper_bound"], bool):
        yield f"has upper_bound {str(row['upper_bound'])[:30]!r}, which is neither true nor false"
    if row["clock"] not in ("wall", "processor"):
        yield f"has clock {str(row['clock'])[:30]!r}, which is neither 'wall' nor 'processor'"
    made = row["made_with"]
    if not isinstance(made, dict) or made.keys() != _MADE_WITH.keys():
        yield "has other keys in made_with"
        return
    for key, kind in _MADE_WITH.items():
        if not has_type(made[key], kind) or (kind is str and control_character(made[key])):
            yield f"has {str(made[key])[:30]!r} for made_with.{key}"
    yield from _contradictions(row)


def _problems_of_job(job: Mapping[str, Any]) -> Iterator[str]:
    kinds = {field.name: int if field.name == "scenes" else str for field in fields(Job)}
    if job.keys() != kinds.keys():
        yield f"has a job without {', '.join(sorted(kinds.keys() - job.keys())) or 'these keys'}"
        return
    for key, kind in kinds.items():
        if not has_type(job[key], kind) or (kind is str and control_character(job[key])):
            yield f"has {str(job[key])[:30]!r} for job.{key}"


def _contradictions(row: Mapping[str, Any]) -> Iterator[str]:
    seen, unseen = row["mIoU_seen"], row["mIoU_unseen"]
    if seen is not None and unseen is not None:
        expected = harmonic_mean(seen, unseen)
        low, high = sorted((seen, unseen))
        if row["hIoU"] is None or abs(row["hIoU"] - expected) > _ROUNDING:
            yield f"has hIoU {row['hIoU']}, but its seen and unseen mIoU give {expected:.4f}"
        if row["mIoU"] is None or not low - _ROUNDING <= row["mIoU"] <= high + _ROUNDING:
            yield f"has mIoU {row['mIoU']}, which is not between {low} and {high}"
    elif row["hIoU"] is not None:
        yield f"has hIoU {row['hIoU']} without both seen and unseen mIoU"
    if row["learnable"] > row["parameters"]:
        yield f"has {row['learnable']:,} learnable of {row['parameters']:,} parameters"
    if row["images"] > row["job"]["scenes"]:
        yield f"has {row['images']:,} images, more than the {row['job']['scenes']:,} of its job"

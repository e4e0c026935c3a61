"""Reader of ``dataset.json``, the description of a prepared folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovss.io.strict_json import parse_json
from ovss.io.text import read_utf8
from ovss.io.typed import wrong_fields

__all__ = ["DESCRIPTION", "load_description"]

DESCRIPTION = "dataset.json"

_FIELDS: dict[str, Any] = {
    "name": str,
    "title": str,
    "num_classes": int,
    "mask_suffix": str,
    "partial": bool,
    "licence": str,
    "splits": dict[str, dict],
    "census": dict[str, list[list[int]]],
}
_FIELDS_OF_SPLIT: dict[str, Any] = {
    "images": int,
    "pixels": int,
    "ignored_pixels": int,
    "labels_sha256": str,
    "sizes": dict,
    "dropped": list,
}


def load_description(path: Path) -> dict[str, Any]:
    """Reads a description and checks the fields that commands read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON, or lacks a field, or has one of another type. The message is a
            sentence whose subject is the file, without an instruction.
    """
    try:
        content = parse_json(read_utf8(path))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path} {text}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, but holds something else")
    _check(path, "", content, _FIELDS)
    for split, summary in content["splits"].items():
        if split not in content["census"] or Path(split).name != split:
            raise ValueError(f"{path} has an unknown split {split[:40]!r} in 'splits'")
        _check(path, f"splits.{split}.", summary, _FIELDS_OF_SPLIT)
    if any(len(row) != 2 for rows in content["census"].values() for row in rows):
        raise ValueError(f"{path} must have pairs of numbers in 'census'")
    return content


def _check(path: Path, prefix: str, content: dict[str, Any], hints: dict[str, Any]) -> None:
    wrong = wrong_fields(content, hints)
    if wrong:
        state = "of another type" if wrong[0] in content else "missing"
        raise ValueError(f"{path} is not what was written: {prefix}{wrong[0]} is {state}")

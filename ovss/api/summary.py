"""Results as JSON: what was found, without arrays."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovss.drawing.overlay import unknown_value
from ovss.io.files import write_text
from ovss.io.json_text import json_text, utf8_text
from ovss.io.names import STDIN, is_url

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["local_path", "recorded_source", "summary_of", "write_summary"]


def summary_of(result: SegmentationResult) -> dict[str, Any]:
    """Summary of a result; `json.dumps` makes valid JSON of it."""
    height, width = result.label_map.shape
    size, unknown = result.label_map.size, int(result.unknown.sum())
    return {
        "image": None if result.source is None else recorded_source(result.source),
        "width": width,
        "height": height,
        "model": utf8_text(result.model),
        "note": utf8_text(result.note),
        "tile": None if result.tile is None else list(result.tile),
        "warnings": [utf8_text(text) for text in result.warnings],
        "vocabulary_size": len(result.categories),
        "categories": [
            {
                "index": i,
                "category": utf8_text(result.categories[i]),
                "pixels": int(result.pixels[i]),
                "share": round(float(result.pixels[i]) / size, 6),
                "mean_score": finite_or_none(float(result.scores[i])),
                "color": "#" + result.colors[i].tobytes().hex(),
            }
            for i in result.present_indices
        ],
        "unknown": {
            "value": unknown_value(len(result.categories)),
            "pixels": unknown,
            "share": round(unknown / size, 6),
        },
    }


def recorded_source(source: str | os.PathLike[str]) -> str:
    """Text that summaries record for a source: an address as it is, a path as an absolute one."""
    text = os.fspath(source)
    return utf8_text(text if text == STDIN or is_url(text) else os.path.abspath(text))


def local_path(source: str | None) -> str | None:
    """Path of a source that is a file; None for an address, the standard input and memory."""
    return None if source is None or source == STDIN or is_url(source) else source


def write_summary(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes the summary as JSON."""
    write_text(path, json_text(summary_of(result)), durable=False)


def finite_or_none(score: float) -> float | None:
    """Score with six decimals; None for NaN and infinity, which JSON does not have."""
    return round(score, 6) if math.isfinite(score) else None

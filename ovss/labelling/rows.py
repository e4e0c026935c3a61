"""Rows of the shards: one for each image, with its masks or the reason why it has none."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ovss.api.result import SegmentationResult

from .extras import import_pyarrow
from .run_length import encode_label_map

__all__ = ["ERROR", "OK", "error_row", "label_row", "shard_schema"]

OK, ERROR = "ok", "error"
"""Values of the column ``status``."""


def shard_schema() -> Any:
    """Arrow schema of a shard; docs/labelling.md explains the columns."""
    pa = import_pyarrow()
    segment = pa.struct(
        [
            pa.field("category", pa.int32(), nullable=False),
            pa.field("counts", pa.string(), nullable=False),
            pa.field("area", pa.int64(), nullable=False),
            pa.field("bbox", pa.list_(pa.int32()), nullable=False),
            pa.field("score", pa.float32()),
        ]
    )
    return pa.schema(
        [
            pa.field("image_id", pa.int64(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("path", pa.string()),
            pa.field("row", pa.int64()),
            pa.field("height", pa.int32()),
            pa.field("width", pa.int32()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("error", pa.string()),
            pa.field("segments", pa.list_(segment), nullable=False),
            pa.field("label_map_sha256", pa.string()),
        ]
    )


def label_row(base: dict[str, Any], result: SegmentationResult) -> dict[str, Any]:
    """Row of a segmented image.

    Args:
        base: values of ``image_id``, ``key``, ``path`` and ``row``.
        result: its result.
    """
    labels_HW = np.ascontiguousarray(result.label_map, np.dtype("<i4"))
    segments = [
        {
            "category": mask.category,
            "counts": mask.counts.decode("ascii"),
            "area": mask.area,
            "bbox": list(mask.bbox),
            "score": float(result.scores[mask.category]),
        }
        for mask in encode_label_map(labels_HW)
    ]
    return {
        **base,
        "height": labels_HW.shape[0],
        "width": labels_HW.shape[1],
        "status": OK,
        "error": None,
        "segments": segments,
        "label_map_sha256": hashlib.sha256(labels_HW.data).hexdigest(),
    }


def error_row(base: dict[str, Any], reason: str) -> dict[str, Any]:
    """Row of an image without masks.

    Args:
        base: values of ``image_id``, ``key``, ``path`` and ``row``.
        reason: reason in a sentence.
    """
    empty: dict[str, Any] = {
        "height": None,
        "width": None,
        "segments": [],
        "label_map_sha256": None,
    }
    return {**base, **empty, "status": ERROR, "error": reason}

"""Results as NumPy archives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovss.io.files import write_atomic
from ovss.vocabularies.vocabulary import IGNORE

if TYPE_CHECKING:
    from .result import SegmentationResult

__all__ = ["write_npz"]


def write_npz(result: SegmentationResult, path: Path, drawing: dict[str, Any]) -> None:
    """Writes label map, category names, scores and colours, which `numpy.load` reads.

    ``probabilities`` is there if the result has them. Nothing in the file needs ``allow_pickle``.
    """
    arrays = {
        "label_map": result.label_map.astype(np.int32),
        "categories": np.array(result.categories, dtype=np.str_),
        "scores": np.asarray(result.scores, np.float32),
        "colors": result.colors,
        "unknown": np.int32(IGNORE),
    }
    if result.probabilities is not None:
        arrays["probabilities"] = np.asarray(result.probabilities, np.float32)
    write_atomic(path, lambda file: np.savez_compressed(file, **arrays), durable=False)  # type: ignore[arg-type]

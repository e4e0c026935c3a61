"""Checks before a run starts: its data and its weights exist and can be read.

Building a model and encoding text may take minutes, so mistakes in paths are reported before that.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ovss.io.weight_formats import weight_format
from ovss.models.weights import find_weights

__all__ = ["count_images", "find_readable_weights"]


def count_images(config: Config, parts: Sequence[str]) -> dict[str, int]:
    """Builds the datasets of a config and counts their images.

    Args:
        config: config of the run, not modified.
        parts: ``train``, ``val`` or ``test``. Those that the config lacks are skipped.

    Returns:
        Number of images of each part.

    Raises:
        Exception: errors of the datasets, such as missing folders.
    """
    counts = {}
    for part in parts:
        dataset = (config.get(f"{part}_dataloader") or {}).get("dataset")
        if not isinstance(dataset, dict):
            continue
        with DefaultScope.overwrite_default_scope(config.get("default_scope")):
            built = DATASETS.build(copy.deepcopy(dataset))
        counts[part] = len(built)
    return counts


def find_readable_weights(path: str | Path) -> str:
    """Finds weights and checks that their file holds weights at all.

    Returns:
        Path of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        CheckpointError: the file is something else, such as a web page.
    """
    file = find_weights(path)
    weight_format(file)
    return str(file)

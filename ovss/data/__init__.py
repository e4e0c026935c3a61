"""Data sets, the label border and what lies between files and the segmentor.

Importing this package is cheap; `register_data()` makes its parts known to mmengine's registries.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.registry import Registry


def transform_registry() -> Registry:
    """mmseg's registry of transforms, with mmcv's and ours in reach; by name, without a scope."""
    with redirect_stdout(StringIO()):  # it prints that an optional package is not there
        import_module("mmseg.datasets.transforms")
    for module in ("color", "transforms"):
        import_module(f"ovss.data.{module}")
    return import_module("mmseg.registry").TRANSFORMS


def register_data() -> None:
    """Register data sets, transforms, sampler and pre-processor; idempotent."""
    transform_registry()
    for module in ("mini_world_dataset", "image_mask", "made_up", "sampler", "preprocessor"):
        import_module(f"ovss.data.{module}")

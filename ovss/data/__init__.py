"""Datasets, label mapping, transforms, sampler and pre-processor.

Importing this package is cheap. `register_data()` adds its components to mmengine's registries.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.registry import Registry


def transform_registry() -> Registry:
    """Returns mmseg's registry of transforms, which also finds those of mmcv and ovss by name."""
    with redirect_stdout(StringIO()):  # the import prints that an optional package is missing
        import_module("mmseg.datasets.transforms")
    for module in ("color", "random_scale", "scale_jitter", "transforms"):
        import_module(f"ovss.data.{module}")
    return import_module("mmseg.registry").TRANSFORMS


def register_data() -> None:
    """Registers datasets, transforms, sampler and pre-processor; idempotent."""
    transform_registry()
    for module in ("mini_world_dataset", "image_mask", "made_up", "sampler", "preprocessor"):
        import_module(f"ovss.data.{module}")

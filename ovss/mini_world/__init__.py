"""A small open-vocabulary world that needs no files.

Object categories compose a surface, a colour and a shape ("striped red star"); stuff fills the
background ("brick wall"). Scenes are drawn from a split, a seed and an index, with exact masks.
Needs numpy alone.
"""

from .categories import (
    COLOURS,
    SHAPES,
    STUFF,
    SURFACES,
    Attributes,
    attributes_of,
    is_seen,
    names,
    object_names,
    seen_names,
    stuff_names,
)
from .portraits import portrait
from .scenes import DIAMETER, SPLITS, MiniWorld, Scene, SceneObject

__all__ = [
    "COLOURS",
    "DIAMETER",
    "SHAPES",
    "SPLITS",
    "STUFF",
    "SURFACES",
    "Attributes",
    "MiniWorld",
    "Scene",
    "SceneObject",
    "attributes_of",
    "is_seen",
    "names",
    "object_names",
    "portrait",
    "seen_names",
    "stuff_names",
]

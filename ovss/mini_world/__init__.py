"""Synthetic open-vocabulary dataset that is rendered on the fly and needs no files.

An object category combines a surface, a colour and a shape ("striped red star"). Stuff categories
such as "brick wall" fill the background. A split, a seed and an index determine a scene and its
exact label map. Only numpy is required.
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

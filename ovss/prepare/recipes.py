"""Recipes of all datasets that can be prepared."""

from __future__ import annotations

import difflib

from .ade20k import ADE20K_150, ADE20K_847
from .cityscapes import CITYSCAPES
from .coco_stuff import COCO_OBJECT, COCO_STUFF_171
from .pascal_context import PASCAL_CONTEXT_59, PASCAL_CONTEXT_60, PASCAL_CONTEXT_459
from .pascal_voc import PASCAL_VOC_20, PASCAL_VOC_20B, PASCAL_VOC_21
from .recipe import Recipe

__all__ = ["RECIPES", "find_recipe"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        COCO_STUFF_171,
        ADE20K_150,
        ADE20K_847,
        PASCAL_CONTEXT_59,
        PASCAL_CONTEXT_60,
        PASCAL_CONTEXT_459,
        PASCAL_VOC_20,
        PASCAL_VOC_20B,
        PASCAL_VOC_21,
        CITYSCAPES,
        COCO_OBJECT,
    )
}


def find_recipe(name: str) -> Recipe:
    """Returns the recipe of a dataset.

    Raises:
        ValueError: the name is unknown; the message suggests similar ones.
    """
    if name in RECIPES:
        return RECIPES[name]
    close = difflib.get_close_matches(name, RECIPES, n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"Unknown dataset {name!r}. {hint}Known datasets: {', '.join(RECIPES)}.")

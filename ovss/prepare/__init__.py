"""From the official downloads of a benchmark to one folder that any method can read.

``ovss prepare NAME --source DIR --out DIR`` writes, and `ovss.data` reads::

    DIR/
      dataset.json              written last: where it is, the set is whole
      classes.json              {"classes": [T names], "ignored": [...]}, for pascal_voc_20b also
                                {"words": [W words], "word_class": [W indices of classes]}
      images/SPLIT/KEY.jpg      the official pictures, linked; ade20k_847 shrinks its large ones
                                and keeps those as .png
      masks/SPLIT/KEY.png       8 bits: class index, 255 is not labelled
      masks/SPLIT/KEY.tif       16 bits (ade20k_847, pascal_context_459): class index; not
                                labelled is 65535, in pascal_context_459 also 459

KEY has no folders in it and is the same for a picture and its mask; SPLIT is ``train`` or ``val``.
``dataset.json`` holds::

    name, title               "ade20k_847", "ADE20K full, 847 classes"
    vocabulary                the registered vocabulary of its words (ade20k_847 repeats first
                              synonyms, which only registered lists may)
    num_classes, ignored      T; the values that mean "not labelled"
    bits, mask_suffix         8 and ".png", or 16 and ".tif"
    partial                   true: made with --allow-partial from less than the official files
    splits                    SPLIT -> {"images", "official", "dropped": [KEY], "labels_sha256",
                              "sizes": {"640x480": n}, "pixels", "ignored_pixels",
                              "source": {"images", "masks", "unpaired"}}
    census                    SPLIT -> [[pixels, files] of each of the T classes]
    licence, homepage         words to read before use, and where the files are from
    source, made_by, made_at, options

``labels_sha256`` is over keys and label values, not over files: the same on every machine, so it
tells whether two people evaluate on the same labels.
"""

from __future__ import annotations

from .check import check_folder
from .recipe import Item, Recipe, SourceError
from .recipes import RECIPES, find_recipe
from .run import Options, Outcome, prepare

__all__ = [
    "RECIPES",
    "Item",
    "Options",
    "Outcome",
    "Recipe",
    "SourceError",
    "check_folder",
    "find_recipe",
    "prepare",
]

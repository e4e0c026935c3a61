"""Conversion of official benchmark downloads to one folder format that every method can read.

``ovss prepare NAME --source DIR --out DIR`` writes this folder, and `ovss.data` reads it::

    DIR/
      dataset.json              written last: if it exists, the dataset is complete
      classes.json              {"classes": [T names], "ignored": [...]}; for pascal_voc_20b also
                                {"words": [names], "word_class": [class index of each name]}
      images/SPLIT/KEY.jpg      official images, linked; ade20k_847 shrinks the large ones and
                                saves those as .png
      masks/SPLIT/KEY.png       8-bit label maps: class index, or 255 for unlabelled
      masks/SPLIT/KEY.tif       16-bit label maps (ade20k_847, pascal_context_459): class index, or
                                65535 for unlabelled (in pascal_context_459 also 459)

KEY contains no folders, and an image and its label map have the same key. SPLIT is ``train`` or
``val``. ``dataset.json`` contains::

    name, title               "ade20k_847", "ADE20K full, 847 classes"
    vocabulary                name of the registered vocabulary (the one of ade20k_847 repeats
                              first synonyms, which only registered vocabularies may do)
    num_classes, ignored      T, and the label values that mean "unlabelled"
    bits, mask_suffix         8 and ".png", or 16 and ".tif"
    partial                   true if some official files were missing and this was allowed
    splits                    SPLIT -> {"images", "official", "dropped": [KEY], "labels_sha256",
                              "sizes": {"640x480": n}, "pixels", "ignored_pixels",
                              "source": {"images", "masks", "unpaired"}}
    census                    SPLIT -> [pixels, files] for each of the T classes
    licence, homepage         terms to read before use, and origin of the files
    source, made_by, made_at, options

``labels_sha256`` is computed from keys and label values, not from files. It is the same on every
machine, so comparing it shows whether two people evaluate on the same labels.
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

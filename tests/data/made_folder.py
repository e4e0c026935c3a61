"""Small folders of images and label maps for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ovss.data.folder import describe_folder

ROW = (0, 1, 2, 255)
"""Default label values of every row of a label map."""


def save_image(path: Path, shape: tuple[int, int] = (3, 4)) -> Path:
    """Saves an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*shape, 3), 90, np.uint8)).save(path)
    return path


def label_map(path: Path, row: Sequence = ROW, kind: str = "L", height: int = 3) -> Path:
    """Saves a label map whose rows are equal.

    Args:
        path: path of the file.
        row: label values, or RGB triples if `kind` is ``RGB``.
        kind: ``L``, ``P``, ``16`` or ``RGB``.
        height: number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.stack([np.array(row)] * height)
    image = Image.fromarray(values.astype(np.uint16 if kind == "16" else np.uint8))
    if kind == "P":
        image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    image.save(path)
    return path


def made(
    root: Path,
    classes: object = "sky\nroad\ncar, automobile\n",
    stems: Sequence[str] = ("a", "b"),
    **options: object,
) -> Path:
    """Makes a whole dataset folder.

    Args:
        root: path of the folder.
        classes: text of classes.txt or content of classes.json; None: no class file.
        stems: names of the images, without file type.
        options: options of `label_map`.
    """
    for stem in stems:
        save_image(root / f"images/{stem}.png")
        label_map(root / f"masks/{stem}.png", **options)
    if isinstance(classes, str):
        (root / "classes.txt").write_text(classes)
    elif classes is not None:
        (root / "classes.json").write_text(json.dumps(classes))
    return root


def labels_of(root: Path, **options) -> list[list[int]]:
    """Labels of the first image of a dataset, as category indices."""
    dataset = describe_folder(root, **options).build()
    return dataset.load(0).labels.tolist()

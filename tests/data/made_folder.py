"""Small folders of pictures and label maps, made for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROW = (0, 1, 2, 255)
"""Label values of every row of a made label map, unless told otherwise."""


def picture(path: Path, shape: tuple[int, int] = (3, 4)) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*shape, 3), 90, np.uint8)).save(path)
    return path


def label_map(path: Path, row: Sequence = ROW, kind: str = "L", height: int = 3) -> Path:
    """A label map whose rows are all alike.

    Args:
        kind: ``L``, ``P``, ``16`` or ``RGB`` (then `row` holds triples).
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
    """A whole folder.

    Args:
        classes: text of classes.txt, or what classes.json holds; None: no class file.
        stems: of the pictures.
        options: of `label_map`.
    """
    for stem in stems:
        picture(root / f"images/{stem}.png")
        label_map(root / f"masks/{stem}.png", **options)
    if isinstance(classes, str):
        (root / "classes.txt").write_text(classes)
    elif classes is not None:
        (root / "classes.json").write_text(json.dumps(classes))
    return root

"""Calls of `ovss segment` for tests, and the files that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ovss.api.formats import output_files
from ovss.cli import main


def save_image(path: Path, size: tuple[int, int] = (40, 25)) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def segment(
    *arguments: str, vocabulary: tuple[str, ...] = ("--words", "cat, dog|puppy, grass")
) -> int:
    return main(["segment", *arguments, *vocabulary, "--model", "tiny.py", "--device", "cpu"])


def outputs(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def files_of(*stems: str) -> set[str]:
    return {str(path) for stem in stems for path in output_files(stem)}

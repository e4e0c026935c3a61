"""Small files in the formats of the official downloads, and what was made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ovss.data.files import read_labels
from ovss.prepare import Options, Outcome, prepare

SOME = Options(jobs=1, allow_partial=True, progress=False)
"""A few pictures, in this process."""


def picture(path: Path, height: int = 4, width: int = 6, **how: object) -> Path:
    """A photograph of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def index_png(path: Path, rows: list | np.ndarray, palette: bool = False) -> Path:
    """An 8-bit label map; with a palette whose colours are far from the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(rows, np.uint8))
    if palette:
        image = image.convert("P")
        image.putpalette([(7 * value + 128) % 256 for value in range(768)])
        image.putdata(np.asarray(rows, np.uint8).ravel().tolist())
    image.save(path)
    return path


def colour_png(path: Path, pixels: np.ndarray) -> Path:
    """An RGB file of numbers, (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def run(name: str, source: Path, out: Path, options: Options = SOME) -> Outcome:
    """Prepare without a word."""
    return prepare(name, source, out, options, say=lambda line: None)


def mask(out: Path, name: str) -> np.ndarray:
    """A prepared label map, as data sets read it."""
    return read_labels(next((out / "masks").glob(f"*/{name}.*")))


def compress(counts: list[int]) -> str:
    """Run lengths as COCO's compressed string: differences, 5 bits a character, low ones first."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + (32 if more else 0))
            if not more:
                break
    return text


def runs(mask_HW: np.ndarray) -> list[int]:
    """The run lengths of a mask, down the columns, beginning with 0."""
    flat = np.asarray(mask_HW, int).T.ravel()
    counts, value = [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts

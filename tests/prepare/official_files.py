"""Small files in the formats of the official downloads, and functions to prepare and read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ovss.data.files import read_labels
from ovss.prepare import Options, Outcome, prepare

SOME = Options(jobs=1, allow_partial=True, progress=False)
"""Options for a few images, converted in this process."""


def write_image(path: Path, height: int = 4, width: int = 6, **how: object) -> Path:
    """Writes a photograph of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def index_png(path: Path, rows: list | np.ndarray, palette: bool = False) -> Path:
    """Writes an 8-bit label map, optionally with a palette of colours far from the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(rows, np.uint8))
    if palette:
        image = image.convert("P")
        image.putpalette([(7 * value + 128) % 256 for value in range(768)])
        image.putdata(np.asarray(rows, np.uint8).ravel().tolist())
    image.save(path)
    return path


def colour_png(path: Path, pixels: np.ndarray) -> Path:
    """Writes numbers as an RGB file, (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def run(name: str, source: Path, out: Path, options: Options = SOME) -> Outcome:
    """Prepares a dataset without printing."""
    return prepare(name, source, out, options, log=lambda line: None)


def mask(out: Path, name: str) -> np.ndarray:
    """Prepared label map, as datasets read it."""
    return read_labels(next((out / "masks").glob(f"*/{name}.*")))


def compress(counts: list[int]) -> str:
    """Encodes run lengths as COCO's compressed string; see `ovss.data.rle.decode_counts`."""
    text = ""
    for position, count in enumerate(counts):
        number = count - counts[position - 2] if position > 2 else count
        while True:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + (32 if more else 0))
            if not more:
                break
    return text


def runs(mask_HW: np.ndarray) -> list[int]:
    """Run lengths of a mask, column by column, beginning with 0."""
    flat = np.asarray(mask_HW, int).T.ravel()
    counts, value = [0], 0
    for pixel in flat:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts

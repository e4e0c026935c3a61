"""Images that the page offers: scenes of the mini world, and photographs of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from ovss.io.files import write_atomic
from ovss.io.names import ImageError, printable
from ovss.mini_world import MiniWorld

from .limits import Limits
from .uploads import read_user_image

__all__ = ["Sample", "photo_samples", "scene_samples"]

THUMBNAIL = 200
"""Longest side of the images of the gallery, in pixels."""


@dataclass(frozen=True)
class Sample:
    """Image of the gallery.

    Args:
        path: image in the private folder, under its own name.
        thumbnail: small copy.
        words: categories to suggest; empty for none.
    """

    path: Path
    thumbnail: Path
    words: str = ""


def scene_samples(folder: Path, seed: int, count: int, size: int) -> list[Sample]:
    """Draws scenes of the mini world; each suggests the categories that it shows.

    Args:
        folder: private folder.
        seed: seed of the scenes.
        count: number of scenes.
        size: height and width in pixels.
    """
    world = MiniWorld("val", "mini_150", size=size, seed=seed, length=count)
    samples = []
    for i in range(count):
        scene = world[i]
        path = folder / f"scene_{i}" / f"scene_{i}.png"
        write_atomic(path, partial(Image.fromarray(scene.image).save, format="png"))
        objects = [item.category for item in scene.objects if item.pixels]
        words = ", ".join(dict.fromkeys([*objects, *scene.stuff]))
        samples.append(Sample(path, _thumbnail(scene.image, path), words))
    return samples


def photo_samples(
    folder: Path, photos: Iterable[Path], limits: Limits, report: Callable[[str], None]
) -> list[Sample]:
    """Copies images into the private folder, so that nothing outside of it is served.

    Args:
        folder: private folder.
        photos: image files.
        limits: largest size of a file and of an image, and number of samples.
        report: callback for a sentence about images that are left out.
    """
    samples: list[Sample] = []
    left = list(photos)
    while left and len(samples) < limits.samples:
        photo = left.pop(0)
        try:
            image = read_user_image(photo, printable(photo), limits)
        except (ImageError, OSError) as error:
            report(f"left out of the samples: {error}")
            continue
        path = folder / f"photo_{len(samples)}" / photo.name
        write_atomic(path, partial(_copy, photo))
        samples.append(Sample(path, _thumbnail(image.rgb_HW3, path)))
    if left:
        report(f"{len(left)} further images are left out; the page shows {limits.samples} samples")
    return samples


def _copy(photo: Path, file: IO[bytes]) -> None:
    file.write(photo.read_bytes())


def _thumbnail(image_HW3: np.ndarray, path: Path) -> Path:
    small = Image.fromarray(image_HW3)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    target = path.with_name("thumbnail.png")
    write_atomic(target, partial(small.save, format="png"))
    return target

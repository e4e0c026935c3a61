"""Scenes of the mini world, rendered from (split, seed, index) and identical in every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from .backgrounds import texture
from .categories import Attributes, attributes_of, is_seen, names, object_names, stuff_names
from .shapes import OUTLINES, RGB, Array, second_tone, surface_mix

SPLITS = ("train", "val", "web")
#: Smallest and largest diameter of an object in pixels, for every image size.
DIAMETER = (26.0, 58.0)
_TILT = np.pi * 25 / 180
_MIN_CAPTION_PIXELS = 30  # captions name objects with at least this many visible pixels


class SceneObject(NamedTuple):
    """One object of a scene: category, attributes, and number of visible pixels."""

    category: str
    attributes: Attributes
    pixels: int


@dataclass(frozen=True)
class Scene:
    """Image with its annotations.

    Args:
        image: (H, W, 3) uint8, RGB.
        mask: label map, (H, W) int16, indices into the names of the vocabulary. It is never
            negative, because stuff fills the background. None in the ``web`` split.
        caption: sentence that describes the image.
        objects: objects from back to front.
        stuff: stuff categories, the largest first.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.int16] | None
    caption: str
    objects: tuple[SceneObject, ...]
    stuff: tuple[str, ...]


class MiniWorld:
    """Sequence of scenes.

    Args:
        split: ``train`` has label maps and shows only seen categories; ``val`` has label maps and
            shows all categories of the vocabulary; ``web`` has captions instead of label maps.
        vocabulary: ``mini_20``, ``mini_150`` or ``mini_556``; ``web`` always uses ``mini_556``.
        size: height and width of the image in pixels, at least 64.
        seed: seed of the scenes.
        length: number of scenes.
        objects: minimum and maximum number of objects in a scene. The default maximum is 2 below
            96 pixels and 4 from there on. The default minimum is 1, or 0 in the ``web`` split,
            where one scene in twenty has no object.
        difficulty: 1 for the full difficulty. Towards 0, objects are larger, upright and central,
            on ground of low contrast with even light and no noise, which makes training start
            easily.

    Raises:
        KeyError: the split or the vocabulary does not exist.
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        split: str = "train",
        vocabulary: str = "mini_150",
        size: int = 96,
        seed: int = 0,
        length: int = 1000,
        objects: tuple[int, int] | None = None,
        difficulty: float = 1.0,
    ) -> None:
        if split not in SPLITS:
            raise KeyError(
                f"The mini world has no split {split!r}. Choose one of {', '.join(SPLITS)}."
            )
        if split == "web":
            vocabulary = "mini_556"
        most = 4 if size >= 96 else 2
        self.objects = objects or (0 if split == "web" else 1, most)
        if size < 64 or length < 0 or seed < 0 or not 0 <= difficulty <= 1:
            raise ValueError(
                f"expected size >= 64, length >= 0, seed >= 0 and difficulty in [0, 1]; got "
                f"size={size}, length={length}, seed={seed} and difficulty={difficulty}"
            )
        if not 0 <= self.objects[0] <= self.objects[1]:
            raise ValueError(
                f"expected objects=(minimum, maximum) with 0 <= minimum <= maximum, got {objects}"
            )
        self.split, self.vocabulary, self.size, self.seed = split, vocabulary, size, seed
        self.length, self.difficulty = length, difficulty
        self.names = names(vocabulary)
        allowed = is_seen if split == "train" else lambda name: True
        self.object_names = tuple(filter(allowed, object_names(vocabulary)))
        self.stuff_names = tuple(filter(allowed, stuff_names(vocabulary)))
        self._index = {name: index for index, name in enumerate(self.names)}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(
                f"scene index {index} is out of range for a mini world of {self.length} scenes"
            )
        entropy = (SPLITS.index(self.split), self.seed, index)
        rng = Generator(PCG64(SeedSequence(entropy)))
        image, mask = self._background(rng)
        drawn = self._draw_objects(rng, image, mask)
        pixels = np.bincount(mask.ravel(), minlength=len(self.names))
        objects = tuple(
            SceneObject(name, attributes_of(name), int(pixels[self._index[name]])) for name in drawn
        )
        visible = [name for name in self.stuff_names if pixels[self._index[name]] > 0]
        stuff = tuple(sorted(visible, key=lambda name: -pixels[self._index[name]]))
        caption = _caption(rng, objects, stuff)
        photo = _photograph(rng, image, self.difficulty)
        return Scene(photo, None if self.split == "web" else mask, caption, objects, stuff)

    def _background(self, rng: Generator) -> tuple[Array, NDArray[np.int16]]:
        """Image and label map of one stuff category, or of two that meet along a wavy line."""
        size, contrast = self.size, 0.25 + 0.75 * self.difficulty
        two = rng.random() < (0.5 if size >= 96 else 0.25) * self.difficulty
        picks = rng.choice(len(self.stuff_names), 2, replace=False)
        first, second = (self.stuff_names[pick] for pick in picks)
        image = texture(first, rng, size, size, contrast)
        mask = np.full((size, size), self._index[first], np.int16)
        if two:
            x = np.arange(size, dtype=np.float32)
            height, slope, wave, phase = rng.random(4)
            line = size * (0.3 + 0.4 * height) + (slope - 0.5) * 0.6 * (x - size / 2)
            line = line + 4 * wave * np.sin(x * 0.12 + 6 * phase)
            below = np.arange(size, dtype=np.float32)[:, None] > line
            image = np.where(below[..., None], texture(second, rng, size, size, contrast), image)
            mask[below] = self._index[second]
        return image, mask

    def _draw_objects(
        self, rng: Generator, image: Array, mask: NDArray[np.int16]
    ) -> tuple[str, ...]:
        """Draws objects of distinct categories from back to front and returns their names.

        Objects for which no free place is found are skipped.
        """
        fewest, most = self.objects
        count = int(rng.integers(max(fewest, 1), most + 1)) if most else 0
        if fewest == 0 and rng.random() < 0.05:
            count = 0
        small = DIAMETER[0] + 24 * (1 - self.difficulty)
        placed: list[tuple[float, float, float]] = []
        drawn: list[str] = []
        count = min(count, len(self.object_names))
        for pick in rng.choice(len(self.object_names), count, replace=False):
            crowd = DIAMETER[1] if count == 1 else min(DIAMETER[1], 0.62 * self.size)
            radius = 0.5 * (small + rng.random() * max(crowd - small, 4))
            place = _find_place(rng, self.size, radius, placed, self.difficulty)
            if place is None:
                continue
            placed.append((*place, radius))
            name = self.object_names[pick]
            _paint(rng, image, mask, self._index[name], name, placed[-1], self.difficulty)
            drawn.append(name)
        return tuple(drawn)


def _find_place(
    rng: Generator,
    size: int,
    radius: float,
    placed: list[tuple[float, float, float]],
    difficulty: float,
) -> tuple[float, float] | None:
    """Finds a centre (x, y) that does not hide too much of the objects placed before, or None.

    Up to a fifth of the radius may lie outside the image. Easy scenes stay near the middle; at
    difficulty 0, within a twentieth of the way to the edge.
    """
    reach = (0.05 + 0.95 * difficulty) * (size - 1.6 * radius)
    for x, y in 0.5 * size + reach * (rng.random((8, 2)) - 0.5):
        if all(np.hypot(x - a, y - b) > 0.62 * (radius + r) for a, b, r in placed):
            return float(x), float(y)
    return None


def _paint(
    rng: Generator,
    image: Array,
    mask: NDArray[np.int16],
    label: int,
    name: str,
    circle: tuple[float, float, float],
    difficulty: float,
) -> None:
    """Paints one object into the image and its exact outline into the mask, in place."""
    centre_x, centre_y, radius = circle
    attributes = attributes_of(name)
    angle = (2 * rng.random() - 1) * _TILT * difficulty
    squeeze = 1 + 0.12 * difficulty * (2 * rng.random() - 1)
    direction, draw = 2 * np.pi * rng.random(), rng.random(3)
    strength, light = 0.48 + 0.2 * rng.random(), 0.22 * (rng.random(2) - 0.5)
    box = tuple(
        slice(max(0, int(c - radius * 1.15)), min(image.shape[0], int(c + radius * 1.15) + 2))
        for c in (centre_y, centre_x)
    )
    row = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - np.float32(centre_y)
    column = np.arange(box[1].start, box[1].stop, dtype=np.float32) - np.float32(centre_x)
    cos, sin = np.float32(np.cos(angle) / radius), np.float32(np.sin(angle) / radius)
    x, y = (cos * column + sin * row) * np.float32(squeeze), sin * column - cos * row
    edge = OUTLINES[attributes.shape](x, y) * np.float32(radius)
    along, across = np.float32(np.cos(direction)), np.float32(np.sin(direction))
    mix = surface_mix(
        attributes.surface, along * column + across * row, along * row - across * column, edge, draw
    )
    colour = np.asarray(RGB[attributes.colour], np.float32)
    paint = colour
    if mix is not None:
        paint = colour + mix[..., None] * (second_tone(attributes.colour, strength) - colour)
    shade = 1 + np.float32(light[0]) * x + np.float32(light[1]) * y
    cover = np.clip(np.float32(0.5) - edge, 0, 1)[..., None]
    image[box] += cover * (paint * shade[..., None] - image[box])
    mask[box][edge < 0] = label


def _photograph(rng: Generator, image: Array, difficulty: float) -> NDArray[np.uint8]:
    """Applies uneven, tinted light and sensor noise, and converts the image to uint8."""
    size = image.shape[0]
    gain, cast, fall, noise = rng.random(), rng.random(3), rng.random(2), rng.random()
    cast = 1 + 0.12 * difficulty * (cast - 0.5) + difficulty * (0.4 * gain - 0.25)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    fall = np.float32(0.4 * difficulty) * (fall.astype(np.float32) - 0.5)
    light = 1 + fall[0] * ramp[:, None] + fall[1] * ramp
    grain = rng.standard_normal(image.shape, np.float32)
    grain *= np.float32(255 * difficulty * (0.01 + 0.05 * noise))
    lit = image * (light[..., None] * cast.astype(np.float32) * np.float32(255)) + grain
    return np.clip(lit + np.float32(0.5), 0, 255).astype(np.uint8)


def _caption(rng: Generator, objects: tuple[SceneObject, ...], stuff: tuple[str, ...]) -> str:
    """Caption with the visible objects in random order and, two times in three, the stuff."""
    visible = [item.category for item in objects if item.pixels >= _MIN_CAPTION_PIXELS]
    order = rng.permutation(len(visible))
    with_stuff = rng.random() < 2 / 3
    phrases = [f"a {visible[position]}" for position in order]
    ground = " and ".join(stuff)
    if not phrases:
        return f"a photo of {ground}."
    return "a photo of " + " and ".join(phrases) + (f" on {ground}." if with_stuff else ".")

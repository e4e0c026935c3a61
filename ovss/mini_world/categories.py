"""Categories of the mini world, its three vocabularies, and the categories seen in training."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "moon", "arrow")
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "white",
    "black",
)
SURFACES = ("plain", "striped", "dotted", "checkered", "bordered", "halved")
#: Stuff categories. The first eight belong to every vocabulary, the others to the larger two.
STUFF = (
    "grass",
    "brick wall",
    "sand",
    "water",
    "night sky",
    "snow",
    "wooden floor",
    "gravel",
    "cloudy sky",
    "lava",
    "tiled floor",
    "curtain",
    "corrugated metal",
    "autumn leaves",
    "ivy",
    "asphalt",
)
UNSEEN_STUFF = frozenset({"sand", "night sky", "gravel", "lava", "curtain", "ivy"})

_OBJECTS = {"mini_20": 12, "mini_150": 134, "mini_556": 540}
_STUFF = {"mini_20": 8, "mini_150": 16, "mini_556": 16}
# The vocabularies are prefixes of a walk over all 540 combinations. The stride is coprime to 540,
# so the walk visits each once. With this stride and start, the first 12 already show all colours,
# shapes and surfaces, and about 60 % of the combinations in each vocabulary are seen.
_STRIDE, _START = 161, 49


class Attributes(NamedTuple):
    """Surface, colour and shape of an object category."""

    surface: str
    colour: str
    shape: str

    @property
    def category(self) -> str:
        """Name of the category."""
        return f"{self.surface} {self.colour} {self.shape}"


@lru_cache(maxsize=1)
def _walk() -> tuple[Attributes, ...]:
    cells = ((_START + step * _STRIDE) % 540 for step in range(540))
    return tuple(
        Attributes(SURFACES[cell // 90], COLOURS[cell % 10], SHAPES[cell // 10 % 9])
        for cell in cells
    )


@lru_cache(maxsize=1)
def _by_category() -> dict[str, Attributes]:
    return {attributes.category: attributes for attributes in _walk()}


def _check_vocabulary(vocabulary: str) -> None:
    if vocabulary not in _OBJECTS:
        raise KeyError(
            f"The mini world has no vocabulary {vocabulary!r}. Choose one of {', '.join(_OBJECTS)}."
        )


def object_names(vocabulary: str = "mini_556") -> tuple[str, ...]:
    """Object categories of a vocabulary; those of the smaller vocabularies come first."""
    _check_vocabulary(vocabulary)
    return tuple(a.category for a in _walk()[: _OBJECTS[vocabulary]])


def stuff_names(vocabulary: str = "mini_556") -> tuple[str, ...]:
    """Stuff categories of a vocabulary."""
    _check_vocabulary(vocabulary)
    return STUFF[: _STUFF[vocabulary]]


def names(vocabulary: str) -> tuple[str, ...]:
    """All categories of ``mini_20``, ``mini_150`` or ``mini_556``: objects, then stuff.

    Raises:
        KeyError: the vocabulary does not exist.
    """
    return object_names(vocabulary) + stuff_names(vocabulary)


def attributes_of(category: str) -> Attributes:
    """Surface, colour and shape of an object category.

    Raises:
        KeyError: the name is not an object category of the mini world. Stuff has no attributes.
    """
    try:
        return _by_category()[category]
    except KeyError:
        raise KeyError(
            f"The mini world has no object category {category!r}. Object categories have the form "
            f"'SURFACE COLOUR SHAPE', for example 'striped red star'."
        ) from None


def is_seen(name: str) -> bool:
    """Checks whether a category may occur in the ``train`` split.

    Each attribute contributes to a code, and a combination is seen if the code modulo five is one
    of three residues. Every colour, shape and surface, and nearly every pair of them, therefore
    occurs in training, while two fifths of the combinations do not.

    Raises:
        KeyError: the name is not a category of the mini world.
    """
    if name in STUFF:
        return name not in UNSEEN_STUFF
    surface, colour, shape = attributes_of(name)
    code = COLOURS.index(colour) + 2 * SHAPES.index(shape) + 2 * SURFACES.index(surface)
    return code % 5 < 3


def seen_names(vocabulary: str) -> tuple[str, ...]:
    """Seen categories of a vocabulary, in the order of the vocabulary."""
    return tuple(name for name in names(vocabulary) if is_seen(name))

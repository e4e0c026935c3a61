"""What the mini world contains: its words, its three vocabularies, and which of them are seen."""

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
#: Stuff, in two halves: the first eight belong to every vocabulary.
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
# A walk over all 540 combinations in strides prime to 540. This stride and start make even the
# first 12 show all ten colours, nine shapes and six surfaces, and keep the share of seen
# combinations at about 60 % in each vocabulary.
_STRIDE, _START = 161, 49


class Attributes(NamedTuple):
    """The three words that make an object category."""

    surface: str
    colour: str
    shape: str

    @property
    def category(self) -> str:
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


def _known(vocabulary: str) -> str:
    if vocabulary not in _OBJECTS:
        raise KeyError(
            f"mini world has no vocabulary {vocabulary!r}; choose one of {', '.join(_OBJECTS)}"
        )
    return vocabulary


def object_names(vocabulary: str = "mini_556") -> tuple[str, ...]:
    """Object categories of a vocabulary; the smaller vocabularies' objects come first."""
    return tuple(a.category for a in _walk()[: _OBJECTS[_known(vocabulary)]])


def stuff_names(vocabulary: str = "mini_556") -> tuple[str, ...]:
    """Background categories of a vocabulary."""
    return STUFF[: _STUFF[_known(vocabulary)]]


def names(vocabulary: str) -> tuple[str, ...]:
    """All categories of ``mini_20``, ``mini_150`` or ``mini_556``: objects, then stuff.

    Raises:
        KeyError: for another vocabulary's name.
    """
    return object_names(vocabulary) + stuff_names(vocabulary)


def attributes_of(category: str) -> Attributes:
    """Surface, colour and shape of an object category.

    Raises:
        KeyError: for a name that is no object of the mini world (stuff has no attributes).
    """
    try:
        return _by_category()[category]
    except KeyError:
        raise KeyError(
            f"{category!r} is no object category of the mini world: expected 'SURFACE COLOUR "
            f"SHAPE', for instance 'striped red star'"
        ) from None


def is_seen(name: str) -> bool:
    """Whether a category may occur in the ``train`` split.

    A combination is seen by a rule modulo five, three residues of five, in which each attribute
    takes part: every colour, shape and surface, and nearly every pair of them, is met in training,
    while two fifths of the combinations are not.

    Raises:
        KeyError: for a name that is no category of the mini world.
    """
    if name in STUFF:
        return name not in UNSEEN_STUFF
    surface, colour, shape = attributes_of(name)
    code = COLOURS.index(colour) + 2 * SHAPES.index(shape) + 2 * SURFACES.index(surface)
    return code % 5 < 3


def seen_names(vocabulary: str) -> tuple[str, ...]:
    """The seen categories of a vocabulary, in its order."""
    return tuple(name for name in names(vocabulary) if is_seen(name))

"""Captions of a scene as people write them, and captions that are wrong by one detail.

People name what stands out and leave out the rest. So a caption names some of the objects, larger
ones more often, and sometimes the ground. An object may be named by no caption of its image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from ovss.mini_world import COLOURS, SHAPES, STUFF, SURFACES, Scene, attributes_of, object_names

from .prompts import COMMON, TEMPLATES

OBJECTS = object_names()
VISIBLE = 30  # objects with fewer visible pixels are never named
_JOINED = (
    "{}",
    "a photo of {}.",
    "a photo of {}.",
    "A photo of {} in the scene",
    "an image of {}",
    "there is {} in the scene.",
    "this image shows {}.",
    "a rendering of {}.",
)
_LINKS = (" and ", " and ", ", ", " with ", " next to ", " near ")
_GROUNDS = (" on {}", " on {}", " in front of {}", ", {}", " over {}")


class Phrases(NamedTuple):
    """Content of a caption: object categories in the order of the text, and the ground."""

    objects: tuple[str, ...]
    ground: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """All categories that the caption names."""
        return frozenset(self.objects + self.ground)


def named_objects(rng: Generator, scene: Scene) -> dict[str, int]:
    """Visible pixels of the objects that captions may name; never empty if an object is visible.

    The largest is always included, each other visible object with a probability of 70 %.
    """
    visible = {o.category: o.pixels for o in scene.objects if o.pixels >= VISIBLE}
    largest = max(visible, key=visible.__getitem__, default=None)
    return {name: n for name, n in visible.items() if name == largest or rng.random() < 0.7}


def draw_phrases(rng: Generator, named: dict[str, int], stuff: tuple[str, ...]) -> Phrases:
    """Draws the content of one caption.

    Half of the captions name one object, the others up to all. An object is drawn with a
    probability that grows with the square of its pixels. A third also name the ground, or one
    stuff category of it; one in twelve names nothing else.
    """
    one = rng.random() < 0.5
    count = min(1 if one else int(rng.integers(1, len(named) + 1)), len(named)) if named else 0
    with_ground, alone = rng.random() < 1 / 3, rng.random() < 1 / 12
    ground = stuff if rng.random() < 0.5 else stuff[:1]
    if alone or not named:
        return Phrases((), ground)
    share = np.array(list(named.values()), float) ** 2
    picks = rng.choice(len(named), count, replace=False, p=share / share.sum())
    names = list(named)
    return Phrases(tuple(names[pick] for pick in picks), ground if with_ground else ())


def write(rng: Generator, phrases: Phrases) -> str:
    """Sentence with these phrases, in random template, order of objects and link words."""
    count = len(phrases.objects)
    if count + bool(phrases.ground) == 1 and (count or len(phrases.ground) == 1):
        common = rng.random() < 0.5
        template = TEMPLATES[rng.integers(COMMON if common else len(TEMPLATES))]
        return template.format((phrases.objects + phrases.ground)[0])
    link = _LINKS[rng.integers(len(_LINKS))]
    objects = [f"a {phrases.objects[i]}" for i in rng.permutation(count)]
    text, ground = link.join(objects), " and ".join(phrases.ground)
    if ground:
        text = text + _GROUNDS[rng.integers(len(_GROUNDS))].format(ground) if text else ground
    return _JOINED[rng.integers(len(_JOINED))].format(text)


def spoil(rng: Generator, phrases: Phrases, scene: Scene) -> Phrases | None:
    """Changes one detail so that the scene no longer shows the content; None if no try succeeds.

    An object changes, or a stuff category in 15 % of the captions that name both. Three times in
    four one attribute of the object changes: the shape in 60 % of these cases, else the surface or
    the colour. Otherwise another object takes its place.
    """
    visible = {item.category for item in scene.objects} | set(scene.stuff)
    for _ in range(4):
        objects, ground = list(phrases.objects), list(phrases.ground)
        if objects and (not ground or rng.random() < 0.85):
            place = int(rng.integers(len(objects)))
            other = _changed(rng, objects[place])
            objects[place] = other
        else:
            place, other = int(rng.integers(len(ground))), STUFF[rng.integers(len(STUFF))]
            ground[place] = other
        if other not in visible:
            return Phrases(tuple(objects), tuple(ground))
    return None


def _changed(rng: Generator, name: str) -> str:
    """Another object category: one attribute differs, or one time in four any may."""
    if rng.random() < 0.25:
        return OBJECTS[rng.integers(len(OBJECTS))]
    attributes = attributes_of(name)
    draw = rng.random()
    field, values = (
        ("shape", SHAPES) if draw < 0.6 else
        ("surface", SURFACES) if draw < 0.85 else ("colour", COLOURS)
    )  # fmt: skip
    return attributes._replace(**{field: values[rng.integers(len(values))]}).category


def captions_of(
    rng: Generator, scene: Scene, count: int, wrong: int
) -> tuple[list[tuple[str, Phrases]], list[tuple[str, Phrases]]]:
    """True captions of a scene and wrong ones, each with its content.

    Args:
        rng: generator that determines everything.
        scene: scene with at least one visible object or stuff category.
        count: number of true captions.
        wrong: number of wrong captions; each spoils the content of a true one.
    """
    named = named_objects(rng, scene)
    contents = [draw_phrases(rng, named, scene.stuff) for _ in range(count)]
    true = [(write(rng, phrases), phrases) for phrases in contents]
    false = []
    for place in range(wrong):
        spoilt = spoil(rng, contents[place % count], scene)
        if spoilt is not None:
            false.append((write(rng, spoilt), spoilt))
    return true, false

"""The fields of a protocol that do not depend on the data set."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = [
    "Background",
    "Canvas",
    "Prompting",
    "ProtocolError",
    "ProtocolTemplate",
    "Resize",
    "Scoring",
    "Views",
    "unknown_name",
]


class ProtocolError(ValueError):
    """An unknown protocol or field, a value that a field cannot have, or a method unfit for it."""


@dataclass(frozen=True)
class Prompting:
    """How names become prompts.

    Args:
        templates: P texts with one ``{}`` each.
        synonyms: ``"first"`` only, their ``"average"``, ``"each"`` a query of its own of which the
            best counts; ``"none"``: no name has several, so that the three are the same.
    """

    templates: tuple[str, ...]
    synonyms: str = "first"


@dataclass(frozen=True)
class Resize:
    """What the test pipeline does to a picture before the method sees it.

    Args:
        short, longest: pixels of the short side, and the bound of the long one; None: none.
        antialias: whether shrinking averages over all pixels.
        others: further transforms that a data set's pipeline holds, as JSON.
    """

    short: int | None = None
    longest: int | None = None
    antialias: bool | None = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Canvas:
    """The size that a method works at: `ovss.inference.InferenceConfig.size` and `keep_ratio`."""

    size: int | tuple[int, int] | None = None
    keep_ratio: bool | None = False


@dataclass(frozen=True)
class Views:
    """Views and where they are averaged: as `ovss.inference.InferenceConfig` has them."""

    mode: str = "whole"
    window: int | None = None
    stride: int | None = None
    global_view: bool | None = None
    merge: str | None = None
    activation: str = "sigmoid"


@dataclass(frozen=True)
class Background:
    """The background rule: the `Background` post-processor of the training-free plugin.

    Args:
        name: the class that takes what others leave; None: no such rule.
        words: asked beside the classes, each of them counting as background.
        threshold: probability below which a pixel is background.
        own_word: whether the class is asked by its own name, too.
    """

    name: str | None = None
    words: tuple[str, ...] = ()
    threshold: float = 0.0
    own_word: bool = True


@dataclass(frozen=True)
class Scoring:
    """Which mIoU is quoted (`iou.ABSENT`), and when two names are one class (`metric.SEEN_RULES`)."""

    absent: str = "ground_truth"
    seen_rule: str = "any_synonym"


_GROUPS = (Prompting, Resize, Canvas, Views, Background, Scoring)


@dataclass(frozen=True)
class ProtocolTemplate:
    """The fields that do not depend on the data set.

    Args:
        accumulation: type in which overlapping views are summed: ``"float32"``, or under
            ``"autocast"`` (`test_cfg.fp16`) float16 on a GPU and bfloat16 on a CPU. Pixels are
            counted as 64-bit integers always.
    """

    prompts: Prompting
    resize: Resize = field(default_factory=Resize)
    canvas: Canvas = field(default_factory=Canvas)
    views: Views = field(default_factory=Views)
    accumulation: str = "float32"
    background: Background = field(default_factory=Background)
    scores: Scoring = field(default_factory=Scoring)

    def flat(self) -> dict[str, Any]:
        """Dotted name -> value of every field; fields that mean nothing here are None.

        >>> ProtocolTemplate(Prompting(("a {}.",)), canvas=Canvas(640)).flat()["canvas.size"]
        640
        """
        found: dict[str, Any] = {}
        for group in fields(self):
            value = getattr(self, group.name)
            parts = {group.name: value} if isinstance(value, str) else vars(value)
            for key, part in parts.items():
                found[key if isinstance(value, str) else f"{group.name}.{key}"] = part
        return found

    def changed(self, values: Mapping[str, Any]) -> ProtocolTemplate:
        """The same with other values.

        Args:
            values: dotted name -> value, as `flat` has them; lists become tuples. Or a group's name
                -> the whole group.

        Raises:
            ProtocolError: a field that is not there; the closest is named.
        """
        known, template = self.flat(), self
        for name, value in values.items():
            if name not in known and not isinstance(value, _GROUPS):
                raise ProtocolError(unknown_name("field", name, list(known)))
            value = tuple(value) if isinstance(value, list) else value
            group, _, key = name.partition(".")
            part = replace(getattr(template, group), **{key: value}) if key else value
            changes: dict[str, Any] = {group: part}
            template = replace(template, **changes)
        return template

    def plain(self) -> ProtocolTemplate:
        """The same with None in the fields that mean nothing beside the others."""
        nothing: dict[str, Any] = {}
        if self.views.mode == "whole":
            nothing |= dict.fromkeys(
                ("views.window", "views.stride", "views.global_view", "views.merge")
            )
        if self.resize.short is None:
            nothing |= {"resize.longest": None, "resize.antialias": None}
        if self.canvas.size is None:
            nothing["canvas.keep_ratio"] = None
        if self.background.name is None:
            nothing |= {f"background.{key}": value for key, value in vars(Background()).items()}
        return self.changed(nothing)


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """What to say where a name is not known: the closest, and all."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"no {kind} is called {name!r}; {hint}there are {', '.join(known)}"

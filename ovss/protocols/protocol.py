"""Fields of an evaluation protocol, their hashes, and how two protocols differ.

The protocol is derived from the final config (`read.protocol_of`), after all flags are applied, so
it always describes what ran.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ovss.io.hashing import short_hash
from ovss.structures import split_synonyms
from ovss.vocabularies import list_templates, list_vocabularies, load_names, load_templates

VERSION = 1
"""Counts with what the fields mean: the same fields of another version are another protocol."""


ABSENT = {
    "ground_truth": ("mIoU", "classes that occur in the ground truth; detectron2, CAT-Seg, SED"),
    "union": ("mIoU_union", "classes that occur in ground truth or prediction; mmseg"),
}
"""How absent classes enter the mean -> the figure that has it so, and what it is a mean over."""


SEEN_RULES = {
    "any_synonym": "one of its synonyms, ignoring case, is a synonym of",
    "first_synonym": "its first synonym, ignoring case, is the first synonym of",
    "exact": "its whole entry, synonyms and case included, is",
}
"""Rule -> the sentence that is printed with the figures."""


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
class BackgroundRule:
    """Rule for background pixels, carried out by `ovss.postprocessors.Background`.

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
    """Which mIoU is quoted (`iou.ABSENT`); when two names are one class (`metric.SEEN_RULES`)."""

    absent: str = "ground_truth"
    seen_rule: str = "any_synonym"


_GROUPS = (Prompting, Resize, Canvas, Views, BackgroundRule, Scoring)


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
    background: BackgroundRule = field(default_factory=BackgroundRule)
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
            nothing |= {f"background.{key}": value for key, value in vars(BackgroundRule()).items()}
        return self.changed(nothing)


@dataclass(frozen=True)
class DataRules:
    """What is asked and what is scored.

    Args:
        classes: T names that labels index.
        seen: names that training showed, as the metric uses them.
        words: W names that the model is asked; `classes` where they are the same.
        word_class: the class that each word counts as; None: they are the same.
        each: whether the words are all synonyms, one by one.
        ignored: values, or colours, of label files that mean "not labelled".
        label_map: (raw value or colour, class or name) in order; None: values are the classes.
    """

    classes: tuple[str, ...]
    seen: tuple[str, ...]
    words: tuple[str, ...]
    word_class: tuple[int, ...] | None = None
    each: bool = False
    ignored: tuple[Any, ...] = ()
    label_map: tuple[tuple[Any, Any], ...] | None = None

    @property
    def vocabulary(self) -> str:
        """Registered name of the words that are asked, before synonyms are parted; else "own"."""
        return registered_name(self.classes if self.each else self.words)

    @property
    def has_synonyms(self) -> bool:
        """Whether it matters what becomes of synonyms."""
        return any(len(split_synonyms(word)) > 1 for word in self.words)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: names and maps by count and hash."""
        pairs = None if self.word_class is None else [list(self.words), list(self.word_class)]
        return {
            "vocabulary": self.vocabulary,
            "classes": len(self.classes),
            "classes_sha256": short_hash(self.classes),
            "words": len(self.words),
            "reduction_sha256": None if pairs is None else short_hash(pairs),
            "ignored": list(self.ignored),
            "label_map_sha256": None if self.label_map is None else short_hash(self.label_map),
            "seen": registered_name(self.seen),
            "seen_names": len(self.seen),
            "seen_sha256": short_hash(self.seen),
        }


@dataclass(frozen=True)
class Protocol:
    """All fields: how, and on what. Two with one full hash give numbers that may be compared.

    Args:
        how: the fields that do not depend on the data set, `ProtocolTemplate.plain`.
        data: those that do; None where a config names no data.
    """

    how: ProtocolTemplate
    data: DataRules | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every field, nested; templates by name where registered, long lists hashed."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self.how)))
        templates = self.how.prompts.templates
        content["prompts"]["templates"] = templates_name(templates)
        content["prompts"]["count"] = len(templates)
        content["prompts"]["sha256"] = short_hash(templates)
        content["data"] = None if self.data is None else self.data.as_dict()
        return {"version": VERSION, **content}

    @property
    def full_hash(self) -> str:
        """Hash of every field, the data's rules included.

        12 hexadecimal digits of the SHA-256 of `as_dict` as JSON with sorted keys.
        """
        return short_hash(self.as_dict())

    def diff(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """Dotted field -> (here, there), where they are not the same."""
        here, there = _dotted(self.as_dict()), _dotted(other.as_dict())
        return {
            key: (here.get(key), there.get(key))
            for key in sorted(here.keys() | there.keys())
            if here.get(key) != there.get(key)
        }


def templates_name(templates: tuple[str, ...]) -> str:
    """The registered name of a list of templates; else the template, or how many there are.

    >>> templates_name(("a photo of a {}.",)), templates_name(("{}!",)), templates_name(("{}",) * 2)
    ('single', "'{}!'", '2 of its own')
    """
    own = repr(templates[0]) if len(templates) == 1 else f"{len(templates)} of its own"
    return registered_templates(templates) or own


def registered_templates(templates: tuple[str, ...]) -> str | None:
    """Of a list that comes along."""
    known = (name for name in list_templates() if load_templates(name) == templates)
    return next(known, None)


def registered_name(names: Sequence[str]) -> str:
    """Of a vocabulary that comes along; else ``"own"``."""
    known = (name for name in list_vocabularies() if load_names(name) == tuple(names))
    return next(known, "own")


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """What to say where a name is not known: the closest, and all."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"no {kind} is called {name!r}; {hint}there are {', '.join(known)}"


def _dotted(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found

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

from ovss.io.excerpts import excerpt
from ovss.io.hashing import short_hash
from ovss.structures import split_synonyms
from ovss.vocabularies import list_templates, list_vocabularies, load_names, load_templates

VERSION = 1
"""Version of the meaning of the fields, included in every hash."""


ABSENT = {
    "ground_truth": ("mIoU", "classes that occur in the ground truth; detectron2, CAT-Seg, SED"),
    "union": ("mIoU_union", "classes that occur in ground truth or prediction; mmseg"),
}
"""Metric and the classes it is the mean over, for each convention for absent classes."""


SEEN_RULES = {
    "any_synonym": "one of its synonyms, ignoring case, is a synonym of",
    "first_synonym": "its first synonym, ignoring case, is the first synonym of",
    "exact": "its whole entry, synonyms and case included, is",
}
"""Part of the sentence that is printed with the metrics, for each rule."""


class ProtocolError(ValueError):
    """A protocol or field is unknown, a value is invalid, or a method cannot run the protocol."""


@dataclass(frozen=True)
class Prompting:
    """Prompt templates and the treatment of synonyms.

    Args:
        templates: P prompt templates with one ``{}`` each.
        synonyms: key of `ovss.structures.SYNONYM_RULES`. ``"none"`` means that no name has
            synonyms, which makes the rules equivalent.
    """

    templates: tuple[str, ...]
    synonyms: str = "first"


@dataclass(frozen=True)
class Resize:
    """Resizing by the test pipeline, before the method receives an image.

    Args:
        short: length of the short side in pixels; None: the image is not resized.
        longest: limit of the long side in pixels.
        antialias: True if shrinking averages over all pixels.
        others: further transforms in the pipeline of the dataset, as JSON.
    """

    short: int | None = None
    longest: int | None = None
    antialias: bool | None = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Canvas:
    """Size a method works at, see `size`, `keep_ratio`, `longest` of `InferenceConfig`."""

    size: int | tuple[int, int] | None = None
    keep_ratio: bool | None = False
    longest: int | None = None


@dataclass(frozen=True)
class Views:
    """Views and how they are merged, see `ovss.inference.InferenceConfig`."""

    mode: str = "whole"
    window: int | None = None
    stride: int | None = None
    global_view: bool | None = None
    merge: str | None = None
    activation: str = "sigmoid"
    scales: tuple[float, ...] = ()
    mirror: bool = False
    activate_at: str = "canvas"


@dataclass(frozen=True)
class BackgroundRule:
    """Rule for background pixels, applied by `ovss.postprocessors.Background`.

    Args:
        name: name of the background class; None: no rule.
        words: additional names to query, each of which counts as background.
        threshold: probability below which a pixel is background.
        own_word: True if the name of the background class is queried as well.
        area: share of all pixels that are not background, up to which a class is taken for noise.
        scale: factor from cosines to logits, on which the meaning of the threshold depends; None:
            that of the method.
    """

    name: str | None = None
    words: tuple[str, ...] = ()
    threshold: float = 0.0
    own_word: bool = True
    area: float = 0.0
    scale: float | None = None


@dataclass(frozen=True)
class Scoring:
    """Choice of the quoted mIoU, a key of `ABSENT`, and of the seen rule, a key of `SEEN_RULES`."""

    absent: str = "ground_truth"
    seen_rule: str = "any_synonym"


_GROUPS = (Prompting, Resize, Canvas, Views, BackgroundRule, Scoring)


@dataclass(frozen=True)
class ProtocolTemplate:
    """Fields that do not depend on the dataset.

    Args:
        prompts: prompt templates and synonyms.
        resize: resizing of images by the test pipeline.
        canvas: size the method works at.
        views: views and how they are merged.
        accumulation: type in which overlapping views are summed: ``"float32"``, or under
            ``"autocast"`` (`test_cfg.fp16`) float16 on a GPU and bfloat16 on a CPU. Pixels are
            always counted as 64-bit integers.
        background: rule for background pixels.
        scores: quoted mIoU and seen rule.
    """

    prompts: Prompting
    resize: Resize = field(default_factory=Resize)
    canvas: Canvas = field(default_factory=Canvas)
    views: Views = field(default_factory=Views)
    accumulation: str = "float32"
    background: BackgroundRule = field(default_factory=BackgroundRule)
    scores: Scoring = field(default_factory=Scoring)

    def flat(self) -> dict[str, Any]:
        """Value of every field, by dotted name.

        Examples:
            >>> ProtocolTemplate(Prompting(("a {}.",)), canvas=Canvas(640)).flat()["canvas.size"]
            640
        """
        values: dict[str, Any] = {}
        for group in fields(self):
            value = getattr(self, group.name)
            parts = {group.name: value} if isinstance(value, str) else vars(value)
            for key, part in parts.items():
                values[key if isinstance(value, str) else f"{group.name}.{key}"] = part
        return values

    def changed(self, values: Mapping[str, Any]) -> ProtocolTemplate:
        """Copy with other values.

        Args:
            values: value by dotted name as in `flat`, where lists become tuples, or a whole group
                by its name.

        Raises:
            ProtocolError: a field is unknown; the message lists close matches.
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
        """Copy with None in fields that have no effect, given the other fields."""
        unused: dict[str, Any] = {}
        if self.views.mode == "whole":
            unused |= dict.fromkeys(
                ("views.window", "views.stride", "views.global_view", "views.merge")
            )
        if self.views.mode == "multi_scale":
            unused["views.global_view"] = None
        else:
            unused |= {"views.scales": (), "views.mirror": False}
        if self.views.activation == "none" or self.views.mode == "multi_scale":
            unused["views.activate_at"] = "canvas"
        if self.resize.short is None:
            unused |= {"resize.longest": None, "resize.antialias": None}
        if self.canvas.size is None:
            unused["canvas.keep_ratio"] = None
        if not self.canvas.keep_ratio:
            unused["canvas.longest"] = None
        if self.background.name is None:
            unused |= {f"background.{key}": value for key, value in vars(BackgroundRule()).items()}
        return self.changed(unused)


@dataclass(frozen=True)
class DataRules:
    """Queried categories and scored classes of a dataset.

    Args:
        classes: names of the T classes that labels index.
        seen: class names seen in training, as the metric uses them.
        words: names of the W categories that the model is queried for; equal to `classes` if the
            dataset does not distinguish them.
        word_class: class index that each category counts as; None: categories are the classes.
        each: True if every synonym is a category of its own.
        ignored: values or colors in label files that mean "not labelled".
        label_map: pairs of (raw value or color, class index or name), in order; None: raw values
            are class indices.
        label_format: format of the labels, see `ovss.data.label_formats.list_label_formats`.
        limit: largest number of images, if only a part of the dataset is evaluated.
    """

    classes: tuple[str, ...]
    seen: tuple[str, ...]
    words: tuple[str, ...]
    word_class: tuple[int, ...] | None = None
    each: bool = False
    ignored: tuple[Any, ...] = ()
    label_map: tuple[tuple[Any, Any], ...] | None = None
    label_format: str = "label_maps"
    limit: int | None = None

    @property
    def vocabulary(self) -> str:
        """Registered name of the vocabulary, before synonyms are split; "own" if not registered."""
        return registered_name(self.classes if self.each else self.words)

    @property
    def dataset(self) -> str:
        """Name by which protocols know the dataset: its vocabulary, else that of its classes."""
        known = self.vocabulary
        return registered_name(self.classes) if known == "own" else known

    @property
    def has_synonyms(self) -> bool:
        """True if any category has synonyms."""
        return any(len(split_synonyms(word)) > 1 for word in self.words)

    def as_dict(self) -> dict[str, Any]:
        """JSON form, in which names and maps are represented by counts and hashes."""
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
            # only where they matter, so that the hashes of all other evaluations stay
            **({} if self.label_format == "label_maps" else {"label_format": self.label_format}),
            **({} if self.limit is None else {"limit": self.limit}),
        }


@dataclass(frozen=True)
class Protocol:
    """All fields of a protocol; results with the same full hash are comparable.

    Args:
        how: fields that do not depend on the dataset, as `ProtocolTemplate.plain` returns them.
        data: fields that depend on the dataset; None if a config names no data.
    """

    how: ProtocolTemplate
    data: DataRules | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON form of every field; registered templates appear by name, long lists as hashes."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self.how)))
        if self.how.canvas.longest is None:  # so that the hashes of older protocols stay
            del content["canvas"]["longest"]
        if self.how.views.mode != "multi_scale":
            del content["views"]["scales"], content["views"]["mirror"]
        if self.how.views.activate_at == "canvas":
            del content["views"]["activate_at"]
        for key, value in (("area", 0), ("scale", None)):
            if content["background"][key] == value:
                del content["background"][key]
        templates = self.how.prompts.templates
        content["prompts"]["templates"] = templates_name(templates)
        content["prompts"]["count"] = len(templates)
        content["prompts"]["sha256"] = short_hash(templates)
        content["data"] = None if self.data is None else self.data.as_dict()
        return {"version": VERSION, **content}

    @property
    def full_hash(self) -> str:
        """Hash of every field, including those of the dataset.

        It consists of the first 12 hexadecimal digits of the SHA-256 of `as_dict` as JSON with
        sorted keys.
        """
        return short_hash(self.as_dict())

    def diff(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """Pairs (own value, value in `other`) of fields that differ, by dotted field."""
        own, others = _dotted(self.as_dict()), _dotted(other.as_dict())
        return {
            key: (own.get(key), others.get(key))
            for key in sorted(own.keys() | others.keys())
            if own.get(key) != others.get(key)
        }


@dataclass(frozen=True)
class NamedProtocol:
    """Protocol that configs refer to by name.

    Args:
        name: name in configs.
        template: fields of the protocol.
        source: paper or code that uses it.
        on: fields that differ on some datasets, by `DataRules.dataset`.
        words: names that are queried for some classes instead of the class names, by dataset and
            class.
    """

    name: str
    template: ProtocolTemplate
    source: str
    on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def fields_on(self, data: DataRules | None) -> ProtocolTemplate:
        """Fields on a dataset, which differ from `template` on some datasets."""
        return self.template.changed(self.on.get(data.dataset, {}) if data else {})

    def words_on(self, data: DataRules | None) -> Mapping[str, str]:
        """Names to query on a dataset, by class; classes without an entry keep theirs."""
        return self.words.get(data.dataset, {}) if data else {}


def templates_name(templates: tuple[str, ...]) -> str:
    """Registered name of a list of templates; else the template itself or their number.

    Examples:
        >>> templates_name(("a photo of a {}.",)), templates_name(("{}!",))
        ('single', "'{}!'")
        >>> templates_name(("{}",) * 2)
        '2 of its own'
    """
    own = repr(templates[0]) if len(templates) == 1 else f"{len(templates)} of its own"
    return registered_templates(templates) or own


def registered_templates(templates: tuple[str, ...]) -> str | None:
    """Name of the bundled list with these templates; None if there is none."""
    known = (name for name in list_templates() if load_templates(name) == templates)
    return next(known, None)


def registered_name(names: Sequence[str]) -> str:
    """Name of the bundled vocabulary with these names; ``"own"`` if there is none."""
    known = (name for name in list_vocabularies() if load_names(name) == tuple(names))
    return next(known, "own")


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """Error message for an unknown name, with close matches and all known names."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"Unknown {kind} {excerpt(name)}. {hint}Known names: {', '.join(known)}"


def _dotted(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            values |= _dotted(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = value
    return values

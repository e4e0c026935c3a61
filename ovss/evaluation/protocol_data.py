"""The half of a protocol that a data set brings: classes, words, labels, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ovss.data.words import EACH_SYNONYM
from ovss.structures import split_synonyms

from .hashing import short_hash

__all__ = ["DataRules", "data_rules"]


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


def data_rules(config: Mapping[str, Any], metainfo: Mapping[str, Any] | None) -> DataRules | None:
    """Of a config that has test data; None where it has none.

    Args:
        config: with `test_dataloader` and `test_evaluator`.
        metainfo: of the data set as it was built; None: read from the config, where an
            ImageMaskDataset needs no files, while others are built.

    Raises:
        KeyError: a data set that was built names no classes.
    """
    loader = config.get("test_dataloader")
    if not loader:
        return None
    dataset = loader["dataset"]
    meta = metainfo if metainfo is not None else _metainfo(dataset)
    if "classes" not in meta:
        raise KeyError(f"the data set {dataset.get('type')} names no classes in its metainfo")
    classes = tuple(meta["classes"])
    return DataRules(
        classes,
        tuple(_seen(config.get("test_evaluator"), meta)),
        tuple(meta.get("words", classes)),
        None if meta.get("word_class") is None else tuple(meta["word_class"]),
        dataset.get("words") == EACH_SYNONYM and meta.get("word_class") is not None,
        (*sorted(dataset.get("ignored") or ()), *map(tuple, dataset.get("ignored_colors") or ())),
        _raw_values(dataset),
    )


def _raw_values(dataset: Mapping[str, Any]) -> tuple[tuple[Any, Any], ...] | None:
    """Raw value or colour -> class, where a data set's label maps are no plain indices."""
    if dataset.get("color_masks"):
        return tuple((tuple(color), index) for index, color in enumerate(dataset["colors"]))
    if dataset.get("label_map") is None:
        return None
    return tuple(sorted((int(raw), name) for raw, name in dataset["label_map"].items()))


def registered_name(names: Sequence[str]) -> str:
    """Of a vocabulary that comes along; else ``"own"``."""
    from ovss.vocabularies import list_vocabularies, load_names

    known = (name for name in list_vocabularies() if load_names(name) == tuple(names))
    return next(known, "own")


def _metainfo(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `dataset.metainfo` has it; of pictures in folders without looking for them."""
    from mmengine.registry import DATASETS

    from ovss.data import register_data
    from ovss.data.labels import seen_mask
    from ovss.data.words import words_of_classes
    from ovss.vocabularies import load_names

    register_data()
    if dataset.get("type") != "ImageMaskDataset":
        return dict(DATASETS.build(dict(dataset)).metainfo)
    names = load_names(dataset["vocabulary"])
    marked = dataset.get("seen")
    shown = names if marked is None else load_names(marked) if len(marked) else ()
    seen = tuple(n for n, ok in zip(names, seen_mask(names, shown), strict=True) if ok)
    classes = seen if dataset.get("only_seen") else names
    asked = words_of_classes(dataset.get("words"), classes)
    found: dict[str, Any] = {"classes": classes, "seen": seen}
    return found if asked is None else {**found, "words": asked[0], "word_class": asked[1]}


def _seen(evaluator: Any, meta: Mapping[str, Any]) -> Sequence[str]:
    from ovss.vocabularies import load_names

    named = next((e["seen"] for e in listed(evaluator) if e.get("seen") is not None), None)
    return meta.get("seen", meta["classes"]) if named is None else load_names(named)


def listed(evaluator: Any) -> list[Mapping[str, Any]]:
    """The metrics of a config, of which there may be one, several or none."""
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]

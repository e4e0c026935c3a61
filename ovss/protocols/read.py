"""Reads the protocol of a config that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from ovss.data import register_data
from ovss.data.base import SegmentationDataset
from ovss.data.labels import seen_mask
from ovss.data.words import EACH_SYNONYM, words_of_classes
from ovss.inference import InferenceConfig
from ovss.interfaces import PostProcessor
from ovss.postprocessors import Background, Chain
from ovss.registry import POSTPROCESSORS
from ovss.vocabularies import load_names, load_templates
from ovss.vocabularies.prompts import PromptConfig

from .protocol import (
    BackgroundRule,
    Canvas,
    DataRules,
    Prompting,
    Protocol,
    ProtocolTemplate,
    Resize,
    Scoring,
    Views,
)

_NEUTRAL = ("PackSample", "PackSegInputs", "LoadImageFromFile", "LoadAnnotations")
"""Transforms that bring a picture in or hand it on, and do not change it."""


def protocol_of(config: Config, metainfo: Mapping[str, Any] | None = None) -> Protocol:
    """The protocol under which a config is evaluated.

    Args:
        config: as it runs.
        metainfo: of its test data set, where that is built already.
    """
    data = data_rules(config, metainfo)
    return Protocol(read_fields(config, data).plain(), data)


def read_fields(config: Config, data: DataRules | None) -> ProtocolTemplate:
    """The fields as a config has them."""
    prompts = PromptConfig(**(config.model.get("prompts") or {}))
    inference = InferenceConfig(**(config.model.get("inference") or {}))
    loader = config.get("test_dataloader") or {}
    metric = next(iter(listed(config.get("test_evaluator"))), {})
    synonyms = prompts.synonyms
    if data is not None and not data.has_synonyms:
        synonyms = "each" if data.each else "none"
    return ProtocolTemplate(
        Prompting(load_templates(prompts.templates), synonyms),
        read_resize(loader.get("dataset") or {}),
        Canvas(_size(inference.size), inference.keep_ratio),
        Views(**{key.name: getattr(inference, key.name) for key in fields(Views)}),
        "autocast" if config.get("test_cfg", {}).get("fp16") else "float32",
        read_background(config),
        Scoring(**{key: metric.get(key, value) for key, value in vars(Scoring()).items()}),
    )


def read_resize(dataset: Mapping[str, Any]) -> Resize:
    """What the pipeline of a data set's config does to pictures."""
    steps = [dict(step) for step in dataset.get("pipeline") or ()]
    resizers = [step for step in steps if is_resize(step)]
    others = [step for step in steps if step.get("type") not in _NEUTRAL and not is_resize(step)]
    others += resizers[1:]
    told = tuple(json.dumps(step, sort_keys=True, default=str) for step in others)
    if not resizers:
        return Resize(others=told)
    first = resizers[0]
    return Resize(first["size"], first["max_size"], first.get("antialias", True), told)


def is_resize(step: Mapping[str, Any]) -> bool:
    """Whether a transform is the protocol's own; with labels resized, too, it is another matter."""
    return step.get("type") == "ShortestEdge" and not step.get("labels", True)


def read_background(config: Config) -> BackgroundRule:
    """The rule of a config's post-processors."""
    for step in post_processors(config):
        if is_made_by(step, Background):
            own = {key: value for key, value in step.items() if key != "type"}
            words = own.get("words") or ()
            own["words"] = load_names(words) if words else ()
            return BackgroundRule(**{"name": "background", **own})
    return BackgroundRule()


def post_processors(config: Config) -> list[dict[str, Any]]:
    """One by one, copied."""
    block = config.model.get("post_processor") or {"type": "Identity"}
    steps = block["steps"] if is_made_by(block, Chain) else [block]
    return [dict(step) for step in steps]


def is_made_by(step: Mapping[str, Any], cls: type[PostProcessor]) -> bool:
    """Tell whether the config of a post-processor names this class."""
    kind = step.get("type")
    return (POSTPROCESSORS.module_dict.get(kind) if isinstance(kind, str) else kind) is cls


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


def _metainfo(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `dataset.metainfo` has it; of pictures in folders without looking for them."""
    register_data()
    if not names_its_words(dataset):
        return dict(DATASETS.build(dict(dataset)).metainfo)
    names = load_names(dataset["vocabulary"])
    marked = dataset.get("seen")
    shown = names if marked is None else load_names(marked) if len(marked) else ()
    seen = tuple(n for n, ok in zip(names, seen_mask(names, shown), strict=True) if ok)
    classes = seen if dataset.get("only_seen") else names
    asked = words_of_classes(dataset.get("words"), classes)
    found: dict[str, Any] = {"classes": classes, "seen": seen}
    return found if asked is None else {**found, "words": asked[0], "word_class": asked[1]}


def names_its_words(dataset: Mapping[str, Any]) -> bool:
    """Tell whether a dataset's class declares that its config names classes and words."""
    register_data()
    kind = dataset.get("type")
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(cls, type) and issubclass(cls, SegmentationDataset) and cls.names_words


def _seen(evaluator: Any, meta: Mapping[str, Any]) -> Sequence[str]:
    named = next((e["seen"] for e in listed(evaluator) if e.get("seen") is not None), None)
    return meta.get("seen", meta["classes"]) if named is None else load_names(named)


def listed(evaluator: Any) -> list[Mapping[str, Any]]:
    """The metrics of a config, of which there may be one, several or none."""
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def _size(size: Any) -> Any:
    return tuple(size) if isinstance(size, (list, tuple)) else size

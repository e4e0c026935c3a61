"""Reads the protocol that a config runs under."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from ovss.data import register_data
from ovss.data.base import SegmentationDataset
from ovss.data.words import EACH_SYNONYM, words_of_classes
from ovss.inference import InferenceConfig
from ovss.interfaces import PostProcessor
from ovss.postprocessors import Background, Chain
from ovss.registry import DECODERS, POSTPROCESSORS
from ovss.structures import split_synonyms
from ovss.vocabularies import load_names, load_templates
from ovss.vocabularies.prompts import PromptConfig
from ovss.vocabularies.seen import seen_mask

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
"""Transforms that load or pass on an image without changing it."""


def protocol_of(config: Config, metainfo: Mapping[str, Any] | None = None) -> Protocol:
    """Protocol that a config is evaluated under.

    Args:
        config: final config.
        metainfo: metainfo of its test dataset, if the dataset is built already.
    """
    data = data_rules(config, metainfo)
    return Protocol(read_fields(config, data).plain(), data)


def read_fields(config: Config, data: DataRules | None) -> ProtocolTemplate:
    """Fields that do not depend on the dataset, as a config sets them."""
    prompts = PromptConfig(**(config.model.get("prompts") or {}))
    inference = InferenceConfig(**(config.model.get("inference") or {}))
    loader = config.get("test_dataloader") or {}
    metric: Mapping[str, Any] = next(iter(listed(config.get("test_evaluator"))), {})
    synonyms = prompts.synonyms
    if data is not None and not data.has_synonyms:
        synonyms = "max" if data.each else "none"
    return ProtocolTemplate(
        Prompting(load_templates(prompts.templates), synonyms),
        read_resize(loader.get("dataset") or {}),
        Canvas(_size(inference.size), inference.keep_ratio, inference.longest),
        Views(**{key.name: _size(getattr(inference, key.name)) for key in fields(Views)}),
        "autocast" if config.get("test_cfg", {}).get("fp16") else "float32",
        read_background(config, data),
        Scoring(**{key: metric.get(key, value) for key, value in vars(Scoring()).items()}),
    )


def read_resize(dataset: Mapping[str, Any]) -> Resize:
    """Resizing by the pipeline of a dataset config."""
    steps = [dict(step) for step in dataset.get("pipeline") or ()]
    resizers = [step for step in steps if is_resize(step)]
    others = [step for step in steps if step.get("type") not in _NEUTRAL and not is_resize(step)]
    others += resizers[1:]
    described = tuple(json.dumps(step, sort_keys=True, default=str) for step in others)
    if not resizers:
        return Resize(others=described)
    first = resizers[0]
    return Resize(first["size"], first["max_size"], first.get("antialias", True), described)


def is_resize(step: Mapping[str, Any]) -> bool:
    """True for the resizing of a protocol, which leaves labels at their size."""
    return step.get("type") == "ShortestEdge" and not step.get("labels", True)


def read_background(config: Config, data: DataRules | None = None) -> BackgroundRule:
    """Background rule among the post-processors of a config.

    The post-processor knows the queried names, and the rule names the class that they count as.
    """
    for step in post_processors(config):
        if is_made_by(step, Background):
            own = {key: value for key, value in step.items() if key != "type"}
            words = own.get("words") or ()
            own["words"] = load_names(words) if words else ()
            rule = BackgroundRule(**{"name": "background", **own, "scale": _scale(config)})
            return rule if data is None else _of_class(rule, data)
    return BackgroundRule()


def background_queries(data: DataRules, name: str) -> tuple[str, ...]:
    """Queried names that count as a class which is not queried by its own name; else empty.

    Args:
        data: fields of the dataset.
        name: name of the class.
    """
    labels = [first_label(each) for each in data.classes]
    if data.word_class is None or first_label(name) not in labels:
        return ()
    index = labels.index(first_label(name))
    queries = tuple(w for w, owner in zip(data.words, data.word_class) if owner == index)
    return () if first_label(name) in map(first_label, queries) else queries


def first_label(name: str) -> str:
    """First synonym of a name, in lower case, by which `Background` finds categories."""
    return split_synonyms(name.lower())[0]


def _of_class(rule: BackgroundRule, data: DataRules) -> BackgroundRule:
    """Rule that names the class instead of the first name queried for it."""
    for name in data.classes:
        queries = background_queries(data, name)
        if queries and first_label(queries[0]) == first_label(str(rule.name)):
            known = {first_label(query) for query in queries}
            words = tuple(word for word in rule.words if first_label(word) not in known)
            return replace(rule, name=name, words=words)
    return rule


def _scale(config: Config) -> float | None:
    """Factor from cosines to logits of the decoder; None if it has none."""
    decoder = config.model.get("decoder") or {}
    if "scale" in decoder:
        return float(decoder["scale"])
    kind = decoder.get("type")
    cls = DECODERS.get(kind) if isinstance(kind, str) else kind
    if cls is None or "scale" not in inspect.signature(cls).parameters:
        return None
    default = inspect.signature(cls).parameters["scale"].default
    return float(default) if isinstance(default, int | float) else None


def post_processors(config: Config) -> list[dict[str, Any]]:
    """Copies of the post-processors of a config, with a chain taken apart."""
    block = config.model.get("post_processor") or {"type": "Identity"}
    steps = block["steps"] if is_made_by(block, Chain) else [block]
    return [dict(step) for step in steps]


def is_made_by(step: Mapping[str, Any], cls: type[PostProcessor]) -> bool:
    """True if the config of a post-processor names this class."""
    kind = step.get("type")
    return (POSTPROCESSORS.module_dict.get(kind) if isinstance(kind, str) else kind) is cls


def data_rules(config: Mapping[str, Any], metainfo: Mapping[str, Any] | None) -> DataRules | None:
    """Fields of the test dataset; None if the config has no test data.

    Args:
        config: config with `test_dataloader` and `test_evaluator`.
        metainfo: metainfo of the dataset if it is built already. None: it is read from the config;
            an ImageMaskDataset needs no files for that, other datasets are built.

    Raises:
        KeyError: the dataset names no classes.
    """
    loader = config.get("test_dataloader")
    if not loader:
        return None
    dataset = loader["dataset"]
    meta = metainfo if metainfo is not None else _metainfo(dataset)
    if "classes" not in meta:
        raise KeyError(
            f"The metainfo of {dataset.get('type')} must name its classes, but has no key 'classes'"
        )
    classes = tuple(meta["classes"])
    return DataRules(
        classes,
        tuple(_seen(config.get("test_evaluator"), meta)),
        tuple(meta.get("words", classes)),
        None if meta.get("word_class") is None else tuple(meta["word_class"]),
        dataset.get("words") == EACH_SYNONYM and meta.get("word_class") is not None,
        (
            *sorted(dataset.get("ignored") or ()),
            *map(tuple, dataset.get("ignored_colors") or ()),
            *sorted(dataset.get("ignored_names") or ()),
        ),
        _raw_values(dataset),
        dataset.get("label_format") or "label_maps",
        dataset.get("limit"),
    )


def _raw_values(dataset: Mapping[str, Any]) -> tuple[tuple[Any, Any], ...] | None:
    """Pairs of raw value or color and class; None if label maps hold class indices."""
    if dataset.get("color_masks"):
        return tuple((tuple(color), index) for index, color in enumerate(dataset["colors"]))
    if dataset.get("label_map") is None:
        return None
    return tuple(sorted((int(raw), name) for raw, name in dataset["label_map"].items()))


def _metainfo(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metainfo of a dataset; an ImageMaskDataset is not built, so its folders may be absent."""
    register_data()
    if not names_its_words(dataset):
        return dict(DATASETS.build(dict(dataset)).metainfo)
    names = load_names(dataset["vocabulary"])
    seen_names = dataset.get("seen")
    trained = names if seen_names is None else load_names(seen_names) if len(seen_names) else ()
    seen = tuple(n for n, ok in zip(names, seen_mask(names, trained), strict=True) if ok)
    classes = seen if dataset.get("only_seen") else names
    queries = words_of_classes(dataset.get("words"), classes)
    meta: dict[str, Any] = {"classes": classes, "seen": seen}
    return meta if queries is None else {**meta, "words": queries[0], "word_class": queries[1]}


def names_its_words(dataset: Mapping[str, Any]) -> bool:
    """True if the class of a dataset declares that its config names classes and categories."""
    register_data()
    kind = dataset.get("type")
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(cls, type) and issubclass(cls, SegmentationDataset) and cls.names_words


def _seen(evaluator: Any, meta: Mapping[str, Any]) -> Sequence[str]:
    named = next((e["seen"] for e in listed(evaluator) if e.get("seen") is not None), None)
    return meta.get("seen", meta["classes"]) if named is None else load_names(named)


def listed(value: Any) -> list[Any]:
    """Items of a config key that may hold none, one or several, such as metrics."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _size(size: Any) -> Any:
    return tuple(size) if isinstance(size, (list, tuple)) else size

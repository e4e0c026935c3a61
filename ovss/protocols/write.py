"""Writes a protocol into a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ovss.structures import SYNONYM_RULES
from ovss.vocabularies import load_templates
from ovss.vocabularies.prompts import PromptConfig

from .checks import check_compatible, checked
from .named import find_protocol
from .protocol import (
    DataRules,
    NamedProtocol,
    Prompting,
    ProtocolTemplate,
    Scoring,
    registered_templates,
)
from .read import data_rules, listed, names_its_words, read_fields
from .write_parts import (
    inference_block,
    write_background,
    write_keys,
    write_resize,
    write_words,
)


def write_protocol(
    config: Config, name: str | None = None, options: Mapping[str, Any] | None = None
) -> str | None:
    """Writes the fields of a protocol into a config, in place, and removes its key `protocol`.

    Settings of the config itself (`prompts`, `inference`, ShortestEdge in its pipeline) win over
    the protocol that it names. The arguments `name` and `options` win over the config.

    Args:
        config: config that may name its protocol in the key ``protocol``.
        name: name of another protocol, all fields of which are written.
        options: value by dotted field; they win over both protocols.

    Returns:
        Name of the protocol; None if neither the config nor `name` gives one. In that case only
        `options` are written.

    Raises:
        ProtocolError: a protocol or field is unknown, a value is invalid, or the method cannot run
            the protocol.
    """
    own = config.pop("protocol", None)
    if name is None and own is None and not options:
        return None
    data = data_rules(config, None)
    if (name or own) is not None and data is not None:
        data = write_queries(config, find_protocol(name or own), data)
    current = read_fields(config, data)
    if name is not None:
        target = find_protocol(name).fields_on(data)
    elif own is not None:
        target = _with_own_fields(config, current, data, own)
    else:
        target = current
    target = checked(target, options or {})
    if name is not None or options:
        check_compatible(config.model, target, name or own)
    apply_protocol(config, target, data)
    return name or own


def apply_protocol(config: Config, template: ProtocolTemplate, data: DataRules | None) -> None:
    """Writes every field into a config, in place.

    Args:
        config: config with a `model`. Validation and test get the same resizing and scoring.
        template: fields of the protocol, as `checked` returns them.
        data: fields of the config's test dataset.
    """
    model = config.model
    prompts = dict(model.get("prompts") or {})
    if (
        load_templates(prompts.get("templates", PromptConfig.templates))
        != template.prompts.templates
    ):
        texts = template.prompts.templates
        prompts["templates"] = registered_templates(texts) or list(texts)
    if template.prompts.synonyms in SYNONYM_RULES:
        prompts["synonyms"] = template.prompts.synonyms
    model.prompts = prompts
    model.inference = inference_block(model, template)
    for part in ("val", "test"):
        loader = config.get(f"{part}_dataloader")
        if loader:
            write_resize(loader["dataset"], template.resize)
        for metric in listed(config.get(f"{part}_evaluator")):
            if metric.get("type") == "OpenVocabIoU":
                write_keys(metric, vars(template.scores), Scoring())
    if data is not None:
        write_words(config.test_dataloader["dataset"], template, data)
    write_background(config, template.background, data)
    half = template.accumulation == "autocast"
    if half or config.get("test_cfg", {}).get("fp16"):
        config.test_cfg = {**config.get("test_cfg", {}), "fp16": half}


def write_queries(config: Config, named: NamedProtocol, data: DataRules) -> DataRules:
    """Writes the names that a protocol queries on a dataset, and reads the dataset again.

    They replace the names of single classes. A dataset whose config lists its names in another form
    than by class keeps them.

    Args:
        config: config with a `test_dataloader`.
        named: named protocol.
        data: fields of the test dataset.
    """
    dataset, words = config.test_dataloader["dataset"], named.words_on(data)
    own = dataset.get("words") or {}
    if not words or not isinstance(own, Mapping) or not names_its_words(dataset):
        return data
    dataset["words"] = {**own, **words}
    return data_rules(config, None) or data


def _with_own_fields(
    config: Config, current: ProtocolTemplate, data: DataRules | None, name: str
) -> ProtocolTemplate:
    """Fields of a named protocol, except those that the config sets itself."""
    named = find_protocol(name)
    values, base = current.flat(), named.template.flat()
    target = named.fields_on(data)
    own = {key: values[key] for key in _own_fields(config, current) if values[key] != base[key]}
    if base["prompts.synonyms"] == "max" or values["prompts.synonyms"] == "none":
        own.pop("prompts.synonyms", None)
    return target.changed(own)


def _own_fields(config: Config, current: ProtocolTemplate) -> set[str]:
    """Dotted fields that a config sets itself; a block counts as a whole."""
    model, template = config.model, ProtocolTemplate(Prompting(("{}",)))
    metric: Mapping[str, Any] = next(iter(listed(config.get("test_evaluator"))), {})
    groups = {
        "prompts": "prompts" in model,
        "canvas": "inference" in model,
        "views": "inference" in model,
        "resize": current.resize.short is not None,
        "background": current.background.name is not None,
        "accumulation": "fp16" in config.get("test_cfg", {}),
    }
    own = {key for key in template.flat() if groups.get(key.partition(".")[0])}
    return own | {"resize.others"} | {f"scores.{key}" for key in vars(Scoring()) if key in metric}

"""A protocol, written into the config that will run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ovss.data.words import EACH_SYNONYM
from ovss.inference import InferenceConfig
from ovss.structures import split_synonyms
from ovss.vocabularies import load_templates
from ovss.vocabularies.prompts import PromptConfig

from .checks import check_compatible, checked
from .named import find_protocol
from .protocol import (
    BackgroundRule,
    DataRules,
    Prompting,
    ProtocolError,
    ProtocolTemplate,
    Resize,
    Scoring,
    registered_templates,
)
from .read import (
    data_rules,
    is_resize,
    listed,
    post_processors,
    read_background,
    read_fields,
    read_resize,
)


def settle_protocol(
    config: Config, name: str | None = None, options: Mapping[str, Any] | None = None
) -> str | None:
    """Write what a protocol says into a config, in place, and take its key `protocol` out.

    What a config says itself (its `prompts`, its `inference`, its pipeline's ShortestEdge) wins
    over the protocol that it names; what is asked for here wins over the config.

    Args:
        config: may name its protocol as ``protocol``.
        name: another one; all its fields are written.
        options: dotted field -> value, over both.

    Returns:
        the name that was in force; None: none was named, and the config stays as it is but for
        `options`.

    Raises:
        ProtocolError: no such protocol or field, a value that it cannot have, or one that the
            method cannot run.
    """
    own = config.pop("protocol", None)
    if name is None and own is None and not options:
        return None
    data = data_rules(config, None)
    if name is not None:
        target = find_protocol(name).fields_on(data)
    elif own is not None:
        target = _with_own_fields(config, data, own)
    else:
        target = read_fields(config, data)
    target = checked(target, options or {})
    if name is not None or options:
        check_compatible(
            config.model, target, InferenceConfig(**_inference(config, target)), name or own
        )
    apply_protocol(config, target, data)
    return name or own


def apply_protocol(config: Config, template: ProtocolTemplate, data: DataRules | None) -> None:
    """Write every field into a config, in place: what runs is then what the fields say.

    Args:
        config: with a `model`; loaders and metrics of validation follow those of the test.
        template: the fields, `checked`.
        data: of the config.
    """
    model = config.model
    prompts = dict(model.get("prompts") or {})
    if (
        load_templates(prompts.get("templates", PromptConfig.templates))
        != template.prompts.templates
    ):
        texts = template.prompts.templates
        prompts["templates"] = registered_templates(texts) or list(texts)
    if template.prompts.synonyms in ("first", "average"):
        prompts["synonyms"] = template.prompts.synonyms
    model.prompts = prompts
    model.inference = _inference(config, template)
    for part in ("val", "test"):
        loader = config.get(f"{part}_dataloader")
        if loader:
            write_resize(loader["dataset"], template.resize)
        for metric in listed(config.get(f"{part}_evaluator")):
            if metric.get("type") == "OpenVocabIoU":
                _write(metric, vars(template.scores), Scoring())
    if data is not None:
        write_words(config.test_dataloader["dataset"], template, data)
    write_background(config, template.background)
    half = template.accumulation == "autocast"
    if half or config.get("test_cfg", {}).get("fp16"):
        config.test_cfg = {**config.get("test_cfg", {}), "fp16": half}


def _with_own_fields(config: Config, data: DataRules | None, name: str) -> ProtocolTemplate:
    """A named protocol where a config says nothing else."""
    named = find_protocol(name)
    here, base = read_fields(config, data).flat(), named.template.flat()
    target = named.fields_on(data)
    own = {key: here[key] for key in _said(config) if here[key] != base[key]}
    if base["prompts.synonyms"] == "each" or here["prompts.synonyms"] == "none":
        own.pop("prompts.synonyms", None)
    return target.changed(own)


def _said(config: Config) -> set[str]:
    """Dotted fields that a config says itself; a block counts as a whole."""
    model, template = config.model, ProtocolTemplate(Prompting(("{}",)))
    loader = config.get("test_dataloader") or {}
    resize = read_resize(loader.get("dataset") or {})
    metric = next(iter(listed(config.get("test_evaluator"))), {})
    groups = {
        "prompts": "prompts" in model,
        "canvas": "inference" in model,
        "views": "inference" in model,
        "resize": resize.short is not None,
        "background": read_background(config).name is not None,
        "accumulation": "fp16" in config.get("test_cfg", {}),
    }
    said = {key for key in template.flat() if groups.get(key.partition(".")[0])}
    return said | {"resize.others"} | {f"scores.{key}" for key in vars(Scoring()) if key in metric}


def _inference(config: Config, template: ProtocolTemplate) -> dict[str, Any]:
    """The method's `inference` with the fields of canvas and views in it."""
    inference = dict(config.model.get("inference") or {})
    default = InferenceConfig()
    wanted = {**vars(template.canvas), **vars(template.plain().views)}
    for key, value in wanted.items():
        if value is not None or key == "size":
            _write(inference, {key: value}, default)
    try:
        InferenceConfig(**inference)
    except ValueError as error:
        raise ProtocolError(f"views and canvas do not fit together: {error}") from None
    return inference


def _write(block: Any, values: Mapping[str, Any], default: Any) -> None:
    """Keys of a config's block; one that is not there is only written where it must be."""
    for key, value in values.items():
        if key in block or value != getattr(default, key):
            block[key] = value


def write_resize(dataset: Any, resize: Resize) -> None:
    """Make a data set's pipeline resize so, after what loads a picture; other steps stay."""
    if read_resize(dataset) == resize:
        return
    steps = list(dataset.get("pipeline") or ())
    rest = [step for step in steps if not is_resize(step)]
    if resize.short is not None:
        edge: dict[str, Any] = {"type": "ShortestEdge", "size": resize.short}
        edge |= {"max_size": resize.longest, "labels": False}
        if resize.antialias is False:
            edge["antialias"] = False
        loading = [i for i, step in enumerate(rest) if str(step.get("type")).startswith("Load")]
        rest.insert(loading[-1] + 1 if loading else 0, edge)
    dataset["pipeline"] = rest


def write_words(dataset: Any, template: ProtocolTemplate, data: DataRules) -> None:
    """Ask the words that synonyms and background call for.

    Raises:
        ProtocolError: the background is no word that is asked; or the data set says itself which
            words are asked, or cannot be told.
    """
    rule, synonyms = template.background, template.prompts.synonyms
    if rule.name is not None:
        _check_background(rule, data)
    asked = {_label(word) for word in data.words}
    words = [word for word in rule.words if _label(word) not in asked]
    if data.each and synonyms in ("first", "average"):
        dataset.pop("words")
    if not words and not (synonyms == "each" and data.has_synonyms):
        return
    if data.word_class is not None and not data.each:
        raise ProtocolError(
            "the data set says itself which words are asked (its `words`): leave "
            "prompts.synonyms=each and background.words to data sets that ask their classes' names"
        )
    if dataset.get("type") != "ImageMaskDataset":
        raise ProtocolError(
            f"a {dataset.get('type')} asks its classes' names only: prompts.synonyms=each and "
            f"background.words need an ImageMaskDataset"
        )
    dataset["words"] = EACH_SYNONYM
    if words:
        each = synonyms == "each" or data.each
        own = {name: split_synonyms(name) if each else (name,) for name in data.classes}
        ground = next(name for name in data.classes if _label(name) == _label(str(rule.name)))
        dataset["words"] = {**own, ground: (*own[ground], *words)}


def _check_background(rule: BackgroundRule, data: DataRules) -> None:
    if _label(str(rule.name)) in map(_label, data.words):
        return
    if _label(str(rule.name)) in map(_label, data.classes):
        raise ProtocolError(
            f"the data set asks other words for {rule.name!r} and not the word itself, which a "
            f"threshold needs: --cfg-options test_dataloader.dataset.words=None asks it"
        )
    shown = ", ".join(data.classes[:5]) + (", ..." if len(data.classes) > 5 else "")
    raise ProtocolError(
        f"the data set has no class {rule.name!r} that could be background (it has {shown}): name "
        f"one by background.name=CLASS"
    )


def write_background(config: Config, rule: BackgroundRule) -> None:
    """Put the rule last among a config's post-processors, or take it out."""
    if read_background(config) == rule:
        return
    steps = [step for step in post_processors(config) if step.get("type") != "Background"]
    if rule.name is not None:
        steps.append({"type": "Background", **vars(rule), "words": list(rule.words)})
    steps = [step for step in steps if step.get("type") != "Identity"]
    if len(steps) > 1:
        config.model.post_processor = {"type": "Chain", "steps": steps}
    else:
        config.model.post_processor = steps[0] if steps else {"type": "Identity"}


def _label(name: str) -> str:
    return split_synonyms(name.lower())[0]

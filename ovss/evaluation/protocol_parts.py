"""Where a config keeps what is not in one place: resizing, words, background."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ovss.structures import split_synonyms
from ovss.vocabularies import load_names

from .protocol_data import EACH_SYNONYM, DataRules
from .protocol_fields import Background, ProtocolError, ProtocolTemplate, Resize

_NEUTRAL = ("PackSample", "PackSegInputs", "LoadImageFromFile", "LoadAnnotations")
"""Transforms that bring a picture in or hand it on, and do not change it."""

_PLUGIN = "ovss_plugins.training_free"


def read_resize(dataset: Mapping[str, Any]) -> Resize:
    """What the pipeline of a data set's config does to pictures."""
    steps = [dict(step) for step in dataset.get("pipeline") or ()]
    resizers = [step for step in steps if step.get("type") == "ShortestEdge"]
    others = [step for step in steps if step.get("type") not in (*_NEUTRAL, "ShortestEdge")]
    others += resizers[1:]
    told = tuple(json.dumps(step, sort_keys=True, default=str) for step in others)
    if not resizers:
        return Resize(others=told)
    first = resizers[0]
    return Resize(first["size"], first["max_size"], first.get("antialias", True), told)


def write_resize(dataset: Any, resize: Resize) -> None:
    """Make a data set's pipeline resize so, after what loads a picture; other steps stay.

    Raises:
        ProtocolError: other further transforms are asked for than the pipeline has.
    """
    if read_resize(dataset) == resize:
        return
    steps = list(dataset.get("pipeline") or ())
    rest = [step for step in steps if step.get("type") != "ShortestEdge"]
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


def read_background(config: Config) -> Background:
    """The rule of a config's post-processors."""
    for step in _steps(config):
        if step.get("type") == "Background":
            own = {key: value for key, value in step.items() if key != "type"}
            words = own.get("words") or ()
            own["words"] = load_names(words) if words else ()
            return Background(**{"name": "background", **own})
    return Background()


def write_background(config: Config, rule: Background) -> None:
    """Put the rule last among a config's post-processors, or take it out."""
    if read_background(config) == rule:
        return
    steps = [step for step in _steps(config) if step.get("type") != "Background"]
    if rule.name is not None:
        steps.append({"type": "Background", **vars(rule), "words": list(rule.words)})
        _import_plugin(config)
    steps = [step for step in steps if step.get("type") != "Identity"]
    if len(steps) > 1:
        config.model.post_processor = {"type": "Chain", "steps": steps}
    else:
        config.model.post_processor = steps[0] if steps else {"type": "Identity"}


def _steps(config: Config) -> list[dict[str, Any]]:
    block = config.model.get("post_processor") or {"type": "Identity"}
    steps = block["steps"] if block.get("type") == "Chain" else [block]
    return [dict(step) for step in steps]


def _import_plugin(config: Config) -> None:
    """As a config that names the post-processor itself would."""
    from ovss.plugins import import_modules

    imports = dict(config.get("custom_imports") or {})
    modules = list(imports.get("imports", ()))
    if _PLUGIN not in modules:
        config.custom_imports = {**imports, "imports": [*modules, _PLUGIN]}
    import_modules([_PLUGIN], "the protocol's background")


def _check_background(rule: Background, data: DataRules) -> None:
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


def _label(name: str) -> str:
    return split_synonyms(name.lower())[0]

"""Writes single parts of a protocol into a config: views, resizing, words, background rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ovss.data.words import EACH_SYNONYM
from ovss.inference import InferenceConfig
from ovss.io.advice import advised
from ovss.postprocessors import Background, Identity
from ovss.structures import split_synonyms

from .protocol import BackgroundRule, DataRules, ProtocolError, ProtocolTemplate, Resize
from .read import (
    is_made_by,
    is_resize,
    names_its_words,
    post_processors,
    read_background,
    read_resize,
)


def inference_block(model: Mapping[str, Any], template: ProtocolTemplate) -> dict[str, Any]:
    """Inference block of a method under the template's canvas and views.

    Raises:
        ProtocolError: views and canvas that do not fit together.
    """
    inference = dict(model.get("inference") or {})
    default = InferenceConfig()
    wanted = {**vars(template.canvas), **vars(template.plain().views)}
    for key, value in wanted.items():
        if value is not None or key == "size":
            write_keys(inference, {key: value}, default)
    try:
        InferenceConfig(**inference)
    except ValueError as error:
        raise ProtocolError(f"views and canvas do not fit together: {error}") from None
    return inference


def write_keys(block: Any, values: Mapping[str, Any], default: Any) -> None:
    """Write keys of a config's block; a key that is not there is written only if it must be."""
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
    if not names_its_words(dataset):
        raise ProtocolError(
            f"prompts.synonyms=each and background.words need a dataset whose config takes words, "
            f"but {dataset.get('type')} asks only for the names of its classes. Use an "
            f"ImageMaskDataset, or leave these fields out"
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
        error = ProtocolError(
            f"the dataset asks other words for {rule.name!r} and not the name itself, which a "
            f"threshold needs. Ask for the names of the classes (dataset.words=None)"
        )
        raise advised(error, "ask_names")
    shown = ", ".join(data.classes[:5]) + (", ..." if len(data.classes) > 5 else "")
    raise ProtocolError(
        f"the data set has no class {rule.name!r} that could be background (it has {shown}): name "
        f"one by background.name=CLASS"
    )


def write_background(config: Config, rule: BackgroundRule) -> None:
    """Put the rule last among a config's post-processors, or take it out."""
    if read_background(config) == rule:
        return
    steps = [step for step in post_processors(config) if not is_made_by(step, Background)]
    if rule.name is not None:
        steps.append({"type": "Background", **vars(rule), "words": list(rule.words)})
    steps = [step for step in steps if not is_made_by(step, Identity)]
    if len(steps) > 1:
        config.model.post_processor = {"type": "Chain", "steps": steps}
    else:
        config.model.post_processor = steps[0] if steps else {"type": "Identity"}


def _label(name: str) -> str:
    return split_synonyms(name.lower())[0]

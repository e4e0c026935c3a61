"""Writes parts of a protocol into a config: views, resizing, categories, background rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

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
    """Inference block of a method with the canvas and views of a template.

    Raises:
        ProtocolError: views and canvas do not fit together.
    """
    inference = dict(model.get("inference") or {})
    default = InferenceConfig()
    fields = {**vars(template.canvas), **vars(template.plain().views)}
    for key, value in fields.items():
        if value is not None or key in ("size", "longest"):
            write_keys(inference, {key: value}, default)
    try:
        InferenceConfig(**inference)
    except ValueError as error:
        raise ProtocolError(f"Views and canvas do not fit together: {error}") from None
    return inference


def write_keys(block: Any, values: Mapping[str, Any], default: Any) -> None:
    """Writes keys of a config block; absent keys are added only if they differ from the default."""
    for key, value in values.items():
        if key in block or value != getattr(default, key):
            block[key] = value


def write_resize(dataset: Any, resize: Resize) -> None:
    """Replaces the resizing in a dataset's pipeline; it follows the loading of the image."""
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
    """Sets the categories that a dataset queries, as the background rule requires.

    Raises:
        ProtocolError: the background class is not among the queried names, the dataset fixes its
            categories itself, or its config cannot name them.
    """
    rule = template.background
    if rule.name is not None:
        _check_background(rule, data)
    if data.each:  # the model splits synonyms itself
        dataset.pop("words")
    present = {_label(name) for name in data.words}
    words = [name for name in rule.words if _label(name) not in present]
    if not words:
        return
    if data.word_class is not None and not data.each:
        raise ProtocolError(
            "background.words needs a dataset that queries its class names, but this dataset fixes "
            "other names in its key `words`. Leave background.words out"
        )
    if not names_its_words(dataset):
        raise ProtocolError(
            f"background.words needs a dataset whose config accepts `words`, but "
            f"{dataset.get('type')} queries only the names of its classes. Use an "
            f"ImageMaskDataset, or leave background.words out"
        )
    own = {name: (name,) for name in data.classes}
    ground = next(name for name in data.classes if _label(name) == _label(str(rule.name)))
    dataset["words"] = {**own, ground: (*own[ground], *words)}


def _check_background(rule: BackgroundRule, data: DataRules) -> None:
    if _label(str(rule.name)) in map(_label, data.words):
        return
    if _label(str(rule.name)) in map(_label, data.classes):
        error = ProtocolError(
            f"A background threshold needs the name {rule.name!r} among the queried names, but the "
            f"dataset queries other words for this class. Set dataset.words=None to query the "
            f"class names"
        )
        raise advised(error, "ask_names")
    names = ", ".join(data.classes[:5]) + (", ..." if len(data.classes) > 5 else "")
    raise ProtocolError(
        f"The background rule needs a class {rule.name!r}, but the classes of the dataset are "
        f"{names}. Set background.name to one of them"
    )


def write_background(config: Config, rule: BackgroundRule) -> None:
    """Places the background rule last among the post-processors of a config, or removes it."""
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

"""Writes parts of a protocol into a config: views, resizing, categories, background rule."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmengine.config import Config

from ovss.inference import InferenceConfig
from ovss.postprocessors import Background, Identity
from ovss.registry import DECODERS

from .protocol import BackgroundRule, DataRules, ProtocolError, ProtocolTemplate, Resize
from .read import (
    background_queries,
    first_label,
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
    present = {first_label(name) for name in data.words}
    words = [name for name in rule.words if first_label(name) not in present]
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
    ground = next(name for name in data.classes if first_label(name) == first_label(str(rule.name)))
    dataset["words"] = {**own, ground: (*own[ground], *words)}


def _check_background(rule: BackgroundRule, data: DataRules) -> None:
    if first_label(str(rule.name)) in map(first_label, (*data.words, *data.classes)):
        return
    names = ", ".join(data.classes[:5]) + (", ..." if len(data.classes) > 5 else "")
    raise ProtocolError(
        f"The background rule needs a class {rule.name!r}, but the classes of the dataset are "
        f"{names}. Set background.name to one of them"
    )


def write_background(config: Config, rule: BackgroundRule, data: DataRules | None = None) -> None:
    """Places the background rule last among the post-processors of a config, or removes it.

    Args:
        config: config to change.
        rule: background rule.
        data: fields of the dataset, which may query the class by other names; None: unknown.

    Raises:
        ProtocolError: the rule has a scale, but the decoder has none.
    """
    if rule.scale is not None:
        _write_scale(config, rule.scale)
    if replace(read_background(config, data), scale=rule.scale) == rule:
        return
    steps = [step for step in post_processors(config) if not is_made_by(step, Background)]
    if rule.name is not None:
        steps.append(_background_step(rule, data))
    steps = [step for step in steps if not is_made_by(step, Identity)]
    if len(steps) > 1:
        config.model.post_processor = {"type": "Chain", "steps": steps}
    else:
        config.model.post_processor = steps[0] if steps else {"type": "Identity"}


def _background_step(rule: BackgroundRule, data: DataRules | None) -> dict[str, Any]:
    """Config of the post-processor, which names queries, for a rule that names a class."""
    queries = () if data is None else background_queries(data, str(rule.name))
    step: dict[str, Any] = {"type": "Background", **vars(rule)}
    del step["scale"]
    if not rule.area:
        del step["area"]
    step["words"] = [*queries[1:], *rule.words]
    return {**step, "name": first_label(queries[0])} if queries else step


def _write_scale(config: Config, scale: float) -> None:
    """Sets the factor from cosines to logits, which belongs to the decoder."""
    decoder = config.model.get("decoder") or {}
    kind = decoder.get("type")
    cls = DECODERS.get(kind) if isinstance(kind, str) else kind
    if cls is not None and "scale" not in inspect.signature(cls).parameters:
        raise ProtocolError(
            f"background.scale needs a decoder with a factor from cosines to logits, but "
            f"{cls.__name__} has none. Set background.scale=None"
        )
    config.model.decoder = {**decoder, "scale": scale}

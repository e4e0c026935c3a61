"""What can be asked for: values that fields can have, and protocols that a method can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ovss.compatibility import misfits
from ovss.inference import InferenceConfig
from ovss.registry import HEADS, POSTPROCESSORS
from ovss.vocabularies import load_names, load_templates
from ovss.vocabularies.prompts import PromptConfig

from .named import named_protocols
from .protocol import ABSENT, SEEN_RULES, ProtocolError, ProtocolTemplate
from .write_parts import inference_block


def checked(template: ProtocolTemplate, options: Mapping[str, Any]) -> ProtocolTemplate:
    """Fields with other values, as a command line gives them.

    Args:
        template: the fields.
        options: dotted field -> value. Templates are a registered name or texts, words of the
            background a registered vocabulary or names; a canvas of two sides is (height, width).

    Raises:
        ProtocolError: an unknown field or a value that it cannot have.
    """
    if "resize.others" in options:
        raise ProtocolError(
            "resize.others is what a data set's pipeline holds: change the pipeline of "
            "test_dataloader.dataset"
        )
    values = dict(options)
    for key, read in (("prompts.templates", _templates), ("background.words", _words)):
        if key in values:
            values[key] = read(values[key])
    if any(key.startswith("background.") for key in values):
        values.setdefault("background.name", template.background.name or "background")
    result = template.changed(values)
    flat = result.flat()
    for key, (fits, what) in _RULES.items():
        if not fits(flat[key]):
            raise ProtocolError(f"{key} must be {what}, got {flat[key]!r}")
    if result.resize.short is not None and result.resize.longest is None:
        raise ProtocolError("resize.short needs resize.longest, the bound of the long side")
    return result


def _templates(value: Any) -> tuple[str, ...]:
    try:
        return load_templates((value,) if isinstance(value, str) and "{}" in value else value)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"prompts.templates: {error}") from None


def _words(value: Any) -> tuple[str, ...]:
    try:
        return load_names(value) if value else ()
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise ProtocolError(f"background.words: {error}") from None


def _one_of(*known: Any) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in known, "one of " + ", ".join(map(str, known))


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _side(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) == 2 and all(map(_positive, value))
    return value is None or _positive(value)


def _length(value: Any) -> bool:
    return value is None or _positive(value)


_PIXELS = "a positive number of pixels, or None"
_FLAG = _one_of(True, False, None)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "prompts.synonyms": _one_of("first", "average", "each", "none"),
    "resize.short": (_length, _PIXELS),
    "resize.longest": (_length, _PIXELS),
    "resize.antialias": _FLAG,
    "canvas.size": (_side, f"{_PIXELS}, or two of them"),
    "canvas.keep_ratio": _FLAG,
    "views.mode": _one_of("whole", "slide"),
    "views.window": (_length, _PIXELS),
    "views.stride": (_length, _PIXELS),
    "views.global_view": _FLAG,
    "views.merge": _one_of("probs", "logits", None),
    "views.activation": _one_of("sigmoid", "softmax"),
    "accumulation": _one_of("float32", "autocast"),
    "background.threshold": (
        lambda value: isinstance(value, (int, float)) and 0 <= value <= 1,
        "a probability, 0..1",
    ),
    "background.own_word": _one_of(True, False),
    "scores.absent": _one_of(*ABSENT),
    "scores.seen_rule": _one_of(*SEEN_RULES),
}


def check_compatible(
    model: Mapping[str, Any], template: ProtocolTemplate, name: str | None
) -> None:
    """Refuse a protocol that the method's parts cannot run, by what they declare.

    Args:
        model: a config's block.
        template: the protocol's fields.
        name: name that was asked for.

    Raises:
        ProtocolError: prompts, canvas or views that are not what head and post-processor need.
    """
    with torch.device("meta"):
        head = HEADS.build(dict(model["head"]))
        behind = POSTPROCESSORS.build(dict(model.get("post_processor") or {"type": "Identity"}))
    parts = {"head": head, "post_processor": behind}
    found = misfits({**parts, **_conditions(model, template)})
    if not found:
        return
    fit = [
        each.name for each in named_protocols().values() if _can_run(parts, model, each.template)
    ]
    raise ProtocolError(
        f"the protocol {name or 'asked for'} cannot run with this method: {'; '.join(found)}. "
        f"Choose one that can: {', '.join(fit) or 'no named protocol does'}"
    )


def _can_run(
    parts: Mapping[str, Any], model: Mapping[str, Any], template: ProtocolTemplate
) -> bool:
    try:
        return not misfits({**parts, **_conditions(model, template)})
    except ProtocolError:
        return False


def _conditions(model: Mapping[str, Any], template: ProtocolTemplate) -> dict[str, Any]:
    """Parts of a method that a protocol decides."""
    return {
        "prompts": PromptConfig(template.prompts.templates),
        "inference": InferenceConfig(**inference_block(model, template)),
    }

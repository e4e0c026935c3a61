"""Checks of protocols: valid values of fields, and compatibility with a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ovss.compatibility import misfits
from ovss.inference import InferenceConfig
from ovss.io.shapes_only import shapes_only
from ovss.registry import DECODERS, HEADS, POSTPROCESSORS
from ovss.structures import SYNONYM_RULES
from ovss.vocabularies import load_names, load_templates
from ovss.vocabularies.prompts import PromptConfig

from .named import named_protocols
from .protocol import ABSENT, SEEN_RULES, ProtocolError, ProtocolTemplate
from .write_parts import inference_block


def checked(template: ProtocolTemplate, options: Mapping[str, Any]) -> ProtocolTemplate:
    """Replaces fields by values as a command line gives them, and checks every field.

    Args:
        template: fields to start from.
        options: value by dotted field. Templates are a registered name or texts, background words
            a registered vocabulary or names, and a canvas with two sides is (height, width).

    Raises:
        ProtocolError: a field is unknown or its value is invalid.
    """
    if "resize.others" in options:
        raise ProtocolError(
            "The field resize.others is read-only because it describes the pipeline of the "
            "dataset. Change the pipeline in test_dataloader.dataset instead"
        )
    values = dict(options)
    for key, read in (("prompts.templates", _templates), ("background.words", _words)):
        if key in values:
            values[key] = read(values[key])
    if any(key.startswith("background.") for key in values):
        values.setdefault("background.name", template.background.name or "background")
    result = template.changed(values)
    flat = result.flat()
    for key, (is_valid, expected) in _RULES.items():
        if not is_valid(flat[key]):
            raise ProtocolError(f"{key} must be {expected}, got {flat[key]!r}")
    if result.resize.short is not None and result.resize.longest is None:
        raise ProtocolError(
            "resize.short needs resize.longest, the limit of the long side, which is not set. Set "
            "both"
        )
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


def _scales(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(scale, int | float) and not isinstance(scale, bool) and scale > 0
        for scale in value
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _length(value: Any) -> bool:
    return value is None or _positive(value)


_PIXELS = "a positive number of pixels, or None"
_FLAG = _one_of(True, False, None)
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "prompts.synonyms": _one_of(*SYNONYM_RULES, "none"),
    "resize.short": (_length, _PIXELS),
    "resize.longest": (_length, _PIXELS),
    "resize.antialias": _FLAG,
    "canvas.size": (_side, f"{_PIXELS}, or two of them"),
    "canvas.keep_ratio": _FLAG,
    "canvas.longest": (_length, _PIXELS),
    "views.mode": _one_of("whole", "slide", "multi_scale"),
    "views.window": (_length, _PIXELS),
    "views.stride": (_length, _PIXELS),
    "views.global_view": _FLAG,
    "views.merge": _one_of("probs", "logits", "features", None),
    "views.activation": _one_of("sigmoid", "softmax", "none"),
    "views.activate_at": _one_of("canvas", "image"),
    "views.scales": (_scales, "numbers above 0"),
    "views.mirror": _one_of(True, False),
    "accumulation": _one_of("float32", "autocast"),
    "background.threshold": (_share, "a probability, 0..1"),
    "background.own_word": _one_of(True, False),
    "background.area": (_share, "a share, 0..1"),
    "background.scale": (
        lambda value: value is None or (_is_number(value) and value > 0),
        "a number above 0, or None",
    ),
    "scores.absent": _one_of(*ABSENT),
    "scores.seen_rule": _one_of(*SEEN_RULES),
}


def check_compatible(
    model: Mapping[str, Any], template: ProtocolTemplate, name: str | None
) -> None:
    """Raises an error if the components of a method cannot run a protocol.

    Args:
        model: model block of a config.
        template: fields of the protocol.
        name: name of the protocol, for the message.

    Raises:
        ProtocolError: head, decoder or post-processor declare other prompts, canvas or views.
    """
    with shapes_only():
        head = HEADS.build(dict(model["head"]))
        decoder = DECODERS.build(dict(model["decoder"]))
        post_processor = POSTPROCESSORS.build(
            dict(model.get("post_processor") or {"type": "Identity"})
        )
    parts = {"head": head, "decoder": decoder, "post_processor": post_processor}
    problems = misfits({**parts, **_conditions(model, template)})
    if not problems:
        return
    usable = [
        each.name for each in named_protocols().values() if _can_run(parts, model, each.template)
    ]
    raise ProtocolError(
        f"{f'The protocol {name}' if name else 'This protocol'} cannot run with this method: "
        f"{'. '.join(problems)}. "
        + (f"Choose one that can: {', '.join(usable)}" if usable else "Use another method")
    )


def _can_run(
    parts: Mapping[str, Any], model: Mapping[str, Any], template: ProtocolTemplate
) -> bool:
    try:
        return not misfits({**parts, **_conditions(model, template)})
    except ProtocolError:
        return False


def _conditions(model: Mapping[str, Any], template: ProtocolTemplate) -> dict[str, Any]:
    """Prompts and inference settings of a method under a protocol."""
    return {
        "prompts": PromptConfig(template.prompts.templates),
        "inference": InferenceConfig(**inference_block(model, template)),
    }

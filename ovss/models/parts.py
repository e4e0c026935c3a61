"""Components of configs, one by one, and the combinations that fit.

A class declares the dimensions it needs only once it is built, and it is built from a config.
Therefore the instances compared are those of existing configs (``UpsampleDecoder as in
maskclip_mini``), built on the meta device without weights or memory.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from torch import nn

from ovss.compatibility import misfits
from ovss.inference import InferenceConfig
from ovss.io.shapes_only import shapes_only
from ovss.proposers.extras import MissingExtraError
from ovss.registry import (
    DECODERS,
    EMBEDDERS,
    ENCODERS,
    HEADS,
    POSTPROCESSORS,
    PROPOSERS,
    SELECTORS,
    ComponentRegistry,
)
from ovss.vocabularies.prompts import PromptConfig

KINDS: dict[str, ComponentRegistry] = {
    "encoder": ENCODERS,
    "selector": SELECTORS,
    "head": HEADS,
    "decoder": DECODERS,
    "post_processor": POSTPROCESSORS,
}
"""Argument of the segmentor -> registry, in the order of the figure."""

DEFAULTS = {"selector": {"type": "KeepAll"}, "post_processor": {"type": "Identity"}}


@dataclass(frozen=True)
class Part:
    """Component as one or more configs build it.

    Args:
        kind: key of `KINDS`.
        options: config of the component, without files to load.
        configs: names of the configs that build it with these options.
        module: component on the meta device.
        block: whole ``model`` of the first of these configs.
    """

    kind: str
    options: dict[str, Any]
    configs: tuple[str, ...]
    module: nn.Module
    block: dict[str, Any]

    @property
    def name(self) -> str:
        """Class name of the component."""
        return type(self.module).__name__

    def __str__(self) -> str:
        return f"{self.name} as in {self.configs[0]}"


def without_pretrained(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of an encoder's config without files to load."""
    return {k: None if k == "pretrained" else _without(v) for k, v in encoder.items()}


def model_without_pretrained(model: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a ``model`` block without files to load, in the encoder or the post-processor."""
    loads = [part for part in ("encoder", "post_processor") if model.get(part)]
    return {**model, **{part: without_pretrained(model[part]) for part in loads}}


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_pretrained(value)
    return type(value)(map(_without, value)) if type(value) in (list, tuple) else value


def pretrained_block(encoder: dict[str, Any]) -> dict[str, Any]:
    """Finds the block that names an encoder's pre-trained weights.

    Returns:
        The block itself or that of the wrapped encoder; the block itself if neither names weights.
    """
    if "pretrained" in encoder:
        return encoder
    for value in encoder.values():
        if isinstance(value, dict) and "type" in value:
            return pretrained_block(value)
    return encoder


def is_upper_bound(model: Mapping[str, Any]) -> bool:
    """True if a component in a config block reads the ground truth, see `Encoder.reads_labels`.

    Args:
        model: block of a config, which may be of another version and name unknown components.
    """
    if "proposer" in model:
        importlib.import_module(PROPOSERS.package)  # the encoders would take seconds
    kind = str(model.get("type"))
    known = [r.module_dict[kind] for r in (ENCODERS, PROPOSERS) if kind in r.module_dict]
    blocks = [block for value in model.values() for _, block in _blocks(value)]
    return any(cls.reads_labels for cls in known) or any(map(is_upper_bound, blocks))


def external_options(block: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Options in a config block that name files or downloads.

    Args:
        block: config of a component, with those of the components that it wraps.
        name: dotted name of the block, for messages.

    Yields:
        The dict that holds an option, the option's key, its dotted name.
    """
    kind = str(block.get("type"))
    known = [r.module_dict[kind] for r in (ENCODERS, PROPOSERS, EMBEDDERS) if kind in r.module_dict]
    keys = {"pretrained", *(key for cls in known for key in cls.external)}
    for key, value in block.items():
        if key in keys and value is not None:
            yield block, key, f"{name}.{key}"
        for place, part in _blocks(value):
            yield from external_options(part, f"{name}.{key}{place}")


def _blocks(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Config blocks that are a value or items of it, with the end of their dotted names."""
    if isinstance(value, dict):
        yield "", value
    elif isinstance(value, (list, tuple)):
        yield from ((f".{i}", item) for i, item in enumerate(value) if isinstance(item, dict))


def find_parts(
    configs: Mapping[str, Config],
    leave_out: Callable[[str, MissingExtraError], None] | None = None,
) -> list[Part]:
    """Lists every distinct component of some configs, by kind, in the order of the figure.

    Args:
        configs: name -> config, its plugins imported.
        leave_out: callback for the name of a config with a component that needs a package that is
            not installed; this component is left out. None: the error passes through.
    """
    found: dict[str, Part] = {}
    for kind, (name, config) in itertools.product(KINDS, configs.items()):
        block = config.model.to_dict()
        options = without_pretrained(block.get(kind) or DEFAULTS[kind])
        key = f"{kind} {sorted(options.items())}"
        known = found.get(key)
        if known is None:
            try:
                with shapes_only():
                    module = KINDS[kind].build(options)
            except MissingExtraError as error:
                if leave_out is None:
                    raise
                leave_out(name, error)
                continue
            found[key] = Part(kind, options, (name,), module, block)
        else:
            found[key] = Part(kind, options, (*known.configs, name), known.module, known.block)
    return list(found.values())


def parts_misfit(parts: Iterable[Part]) -> list[str]:
    """Reasons why parts of different kinds do not fit together; empty if they do.

    The prompts are those of the head's config, the inference settings those of the decoder's.
    """
    components: dict[str, Any] = {}
    for part in parts:
        components[part.kind] = part.module
        if part.kind == "head":
            components["prompts"] = PromptConfig(**(part.block.get("prompts") or {}))
        if part.kind == "decoder":
            components["inference"] = InferenceConfig(**(part.block.get("inference") or {}))
    return misfits(components)


def compose(parts: Iterable[Part]) -> dict[str, Any]:
    """Builds the ``model`` block of one part of each kind.

    Prompts come from the head's config; segmentor, loss and inference from the decoder's.
    """
    by_kind = {part.kind: part for part in parts}
    block = dict(by_kind["decoder"].block)
    block.update({kind: part.options for kind, part in by_kind.items()})
    return {**block, "prompts": by_kind["head"].block.get("prompts")}


def compositions(parts: Iterable[Part]) -> Iterator[tuple[tuple[Part, ...], list[str]]]:
    """Yields every combination of one part of each kind, with the reasons why it does not fit."""
    by_kind = {kind: [part for part in parts if part.kind == kind] for kind in KINDS}
    for chosen in itertools.product(*by_kind.values()):
        yield chosen, parts_misfit(chosen)

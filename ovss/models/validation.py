"""Checks the keys of a config, so that every command reports a mistake in the same words."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    METRICS,
    MODELS,
    OPTIMIZERS,
    Registry,
)
from torch import nn

from ovss.inference import InferenceConfig
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_values
from ovss.registry import REGISTRIES, ComponentRegistry
from ovss.segmentor import OpenVocabSegmentor
from ovss.vocabularies.prompts import PromptConfig

from .config_keys import check_keys
from .config_merge import TypeChange
from .config_source import ConfigError
from .parts import DEFAULTS, KINDS

# registries of mmengine whose types take every key of their block as an argument
_RUN_REGISTRIES = (MODELS, DATASETS, DATA_SAMPLERS, METRICS, OPTIMIZERS)
_NOT_ARGUMENTS = frozenset({"type", "_scope_"})
_LOOSELY_ANNOTATED = ("mmengine", "mmcv", "mmseg", "torch", "builtins")


def check_config(config: Config, changes: Iterable[TypeChange] = ()) -> None:
    """Rejects a config with unknown or missing keys; nothing is built.

    Args:
        config: config with its bases merged and its plugins imported.
        changes: blocks whose type changed when bases and overrides were merged.

    Raises:
        ConfigError: the model is not a dict, or a block kept keys of an earlier type.
        KeyError, TypeError: unknown or missing key, component or argument.
    """
    check_keys(config)
    check_type_changes(config, changes)
    try:
        check_model(config.get("model"))
    except ConfigError as error:
        raise ConfigError(f"{config.filename or 'The config'}: {error}") from None


def check_type_changes(config: Config, changes: Iterable[TypeChange]) -> None:
    """Rejects blocks that kept keys of an earlier type, unless the new type takes them too."""
    for change in changes:
        block: Any = config
        for name in change.key.split("."):
            block = block.get(name) if isinstance(block, (Config, dict)) else None
        cls = find_component(change.after)
        if not isinstance(block, dict) or block.get("type") != change.after or cls is None:
            continue
        takes = parameters(cls)
        if takes is None:
            continue
        left = [key for key in change.left if key in block and key not in takes]
        if left:
            remedy = "_delete_=True"
            if change.origin == "the config":
                remedy = f"{change.key}._delete_=True"
            raise ConfigError(
                f"{change.key}: {change.after} does not take {' and '.join(left)}, which "
                f"{change.origin} set for {change.before}. Add {remedy} to replace the block"
            )


def check_model(model: Any) -> type:
    """Rejects a ``model`` block with unknown components or arguments; nothing is built.

    Returns:
        Class of the segmentor.

    Raises:
        ConfigError: the block is not a dict, or a key is not a string.
        KeyError: unknown or missing component.
        TypeError: unknown or missing argument.
    """
    if not isinstance(model, Mapping):
        raise ConfigError(
            f"model must be dict(type=..., encoder=..., ...), got {excerpt(model)}. Set it, or "
            f"inherit it with _base_"
        )
    segmentor = _segmentor(model)
    check_block(segmentor, model, "model")
    preprocessor = model.get("data_preprocessor")
    if preprocessor is not None and not isinstance(preprocessor, nn.Module):
        kind = _dict(preprocessor, "model.data_preprocessor", "dict(type=..., ...)").get("type")
        if isinstance(kind, str) and class_or_none(MODELS, kind) is not None:
            kind = class_or_none(MODELS, kind)
        if not inspect.isclass(kind):
            raise KeyError(
                f"Unknown pre-processor {excerpt(kind)} in model.data_preprocessor.type. Set it to "
                f"a registered name"
            )
        check_block(kind, preprocessor, "model.data_preprocessor")
    if not issubclass(segmentor, OpenVocabSegmentor):
        return segmentor
    for kind, registry in KINDS.items():
        part = model.get(kind) or DEFAULTS.get(kind, model.get(kind))
        if not isinstance(part, nn.Module):
            check_component(registry, part, f"model.{kind}")
    for key, cls in (("prompts", PromptConfig), ("inference", InferenceConfig)):
        if model.get(key) is not None:
            block = _dict(model[key], f"model.{key}", "dict(...)")
            if "type" in block:
                raise TypeError(
                    f"model.{key} takes no type, got {excerpt(block['type'])}. Remove it"
                )
            check_block(cls, block, f"model.{key}")
    return segmentor


def check_component(registry: ComponentRegistry, part: Any, where: str) -> None:
    """Rejects a component's block if its type or an argument is unknown, nested blocks included.

    Args:
        registry: registry of the component's kind.
        part: block of the component.
        where: dotted key of the block.
    """
    part = _dict(part, where, "dict(type=..., ...)")
    if "type" not in part:
        raise KeyError(f"Missing config key '{where}.type', the name of a {registry.name}. Add it")
    if inspect.isclass(part["type"]) and not issubclass(part["type"], registry.kind):
        raise TypeError(
            f"{where}.type must be a {registry.kind.__name__}, got the class "
            f"{part['type'].__name__}. Correct the config"
        )
    kind = part["type"]
    if not isinstance(kind, str) and not inspect.isclass(kind):
        raise TypeError(
            f"{where}.type must be the name of a {registry.name}, got {excerpt(kind)}. Correct the "
            f"config"
        )
    cls = registry.find(kind) if isinstance(kind, str) else kind
    check_block(cls, part, where)
    _check_inside(part, where)


def check_block(
    cls: Callable, block: Mapping[Any, Any], where: str, provided: Sequence[str] = ()
) -> None:
    """Rejects arguments that `cls` does not take, and a block that lacks a required argument.

    Args:
        cls: class or function that the block configures.
        block: arguments of `cls`, with or without ``type``.
        where: dotted key of the block.
        provided: keys that the program adds, or removes before `cls` is called.

    Raises:
        TypeError: unknown or missing argument, or one of another type than its annotation; the
            message names the closest and the known ones.
        ValueError: a number that is NaN.
    """
    check_argument_names(cls, {k: v for k, v in block.items() if k not in provided}, where)
    signature = inspect.signature(cls)
    for name, parameter in signature.parameters.items():
        is_required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if is_required and name not in block and name not in provided:
            raise TypeError(
                f"Missing config key '{where}.{name}', which {_name(cls)} needs. Add it"
            )
    if not str(getattr(cls, "__module__", "")).startswith(_LOOSELY_ANNOTATED):
        check_values(cls, {k: v for k, v in block.items() if k not in _NOT_ARGUMENTS}, where)


def check_argument_names(cls: Callable, block: Mapping[Any, Any], where: str) -> None:
    """Rejects arguments that `cls` does not take, with the TypeError of `check_block`."""
    takes = parameters(cls)
    for key in block:
        if not isinstance(key, str):
            raise ConfigError(
                f"Keys of {where} must be strings, got {excerpt(key)}. Write it as a string"
            )
        if takes is None or key in takes or key in _NOT_ARGUMENTS:
            continue
        close = difflib.get_close_matches(key, takes, n=1)
        advice = f"Did you mean {close[0]!r}?" if close else "Remove it."
        name = where.rpartition(".")[2] if _name(cls).startswith("_") else _name(cls)
        raise TypeError(
            f"Unknown config key '{where}.{key}'. {advice} {name} takes "
            f"{', '.join(takes) or 'no options'}"
        )


def parameters(cls: Callable) -> list[str] | None:
    """Names of the arguments of a class or function; None if it takes any."""
    found = inspect.signature(cls).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in found):
        return None
    return [parameter.name for parameter in found if parameter.kind is not parameter.VAR_POSITIONAL]


def find_component(name: str) -> Callable | None:
    """Finds a registered component or part of a run by name; None if the name is unknown."""
    for registry in (*REGISTRIES, *_RUN_REGISTRIES):
        if name in registry.module_dict:
            return registry.module_dict[name]
    return None


def _segmentor(model: Mapping[str, Any]) -> type:
    name = model.get("type", "OpenVocabSegmentor")
    found = class_or_none(MODELS, name) if isinstance(name, str) else name
    if not inspect.isclass(found):
        close = difflib.get_close_matches(str(name), MODELS.module_dict, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise KeyError(
            f"Unknown segmentor {excerpt(name)} in model.type. {hint}If it belongs to a plugin, "
            f"name the plugin's module in the config: custom_imports = dict(imports=['the_plugin'])"
        )
    return found


def class_or_none(registry: Registry, name: str) -> Any:
    """Finds a class by mmengine's rules; None if there is none, for which mmengine may raise."""
    try:
        return registry.get(name)
    except RuntimeError:  # such as an empty name
        return None


def _check_inside(block: Mapping[str, Any], where: str) -> None:
    """Rejects unknown arguments of nested components.

    Missing ones are accepted, because the outer component may provide them.
    """
    for key, value in block.items():
        items = enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]
        for index, item in items:
            if isinstance(item, Mapping) and isinstance(item.get("type"), str):
                place = f"{where}.{key}" if index is None else f"{where}.{key}.{index}"
                cls = find_component(item["type"])
                if cls is not None:
                    check_argument_names(cls, item, place)
                _check_inside(item, place)


def _dict(block: Any, where: str, form: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping):
        raise TypeError(f"{where} must be {form}, got {excerpt(block)}. Correct the config")
    return block


def _name(cls: Callable) -> str:
    return getattr(cls, "__name__", str(cls))

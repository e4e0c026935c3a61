"""Parts that fit a component or a method, and the reasons why the others do not."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.shapes_only import shapes_only
from ovss.proposers.extras import MissingExtraError
from ovss.registry import EMBEDDERS, LOSSES, PROPOSERS, register_all

from .configs import list_configs, load_config
from .parts import KINDS, Part, find_parts, parts_misfit
from .plugins import PluginError, load_available_plugins


@dataclass(frozen=True)
class Verdict:
    """Verdict on parts of one class.

    Args:
        kind: argument of the segmentor.
        name: class name of the parts.
        configs: names of the configs that have them.
        problems: reasons why they do not fit; empty if they do.
    """

    kind: str
    name: str
    configs: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """Verdicts on everything that could be combined with one component or method.

    Args:
        subject: ``UpsampleDecoder as in maskclip_mini``, or ``maskclip_mini`` for a method.
        verdicts: in the order of the figure, fitting parts first.
    """

    subject: str
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict[str, Any]:
        """Converts the answer to plain values, for JSON."""
        rows = [
            {
                "kind": v.kind,
                "name": v.name,
                "configs": list(v.configs),
                "fits": not v.problems,
                "problems": list(v.problems),
            }
            for v in self.verdicts
        ]
        return {"subject": self.subject, "parts": rows}


def compatible_with(name: str, log: Callable[[str], None] = lambda line: None) -> list[Answer]:
    """Finds the parts that fit a component, as each config has it, or a method.

    For a component, every part of another kind is compared with it alone. For a method, every part
    replaces the method's own part of that kind in turn.

    Args:
        name: name of a registered class or of a config, or a config file.
        log: callback for a sentence on each config of which a part is left out, because it needs a
            package that is not installed.

    Raises:
        MissingExtraError: the method itself needs such a package.
        LookupError: the name is unknown, or no config shows how to build the component.
    """
    register_all()
    load_available_plugins()
    configs = _readable_configs(name)
    kinds = [kind for kind, registry in KINDS.items() if name in registry.module_dict]
    if name not in configs and not kinds:
        raise LookupError(_unknown(name, configs))

    def leave_out(other: str, error: MissingExtraError) -> None:
        if other == name:
            raise error
        log(f"{other} is left out: {error}")

    parts = find_parts(configs, leave_out)
    if name in configs:
        return [_of_method(name, parts)]
    instances = [part for part in parts if part.name == name] or [_by_itself(kinds[0], name)]
    return _of_components(instances, parts)


def _of_components(instances: list[Part], parts: list[Part]) -> list[Answer]:
    """One answer for all instances that share it."""
    configs_of: dict[tuple[Verdict, ...], tuple[str, ...]] = {}
    for part in instances:
        others = [other for other in parts if other.kind != part.kind]
        verdicts = _verdicts([(other, parts_misfit((part, other))) for other in others])
        configs_of[verdicts] = configs_of.get(verdicts, ()) + part.configs
    return [
        Answer(f"{instances[0].name} as in {', '.join(configs) or 'no config'}", verdicts)
        for verdicts, configs in configs_of.items()
    ]


def _of_method(name: str, parts: list[Part]) -> Answer:
    own = {part.kind: part for part in parts if name in part.configs}
    compared = [
        (part, parts_misfit({**own, part.kind: part}.values()))
        for part in parts
        if part is not own[part.kind]
    ]
    return Answer(name, _verdicts(compared))


def _verdicts(compared: Iterable[tuple[Part, list[str]]]) -> tuple[Verdict, ...]:
    """Merges parts of one class with the same problems; fitting parts first."""
    configs: dict[tuple[str, str, tuple[str, ...]], tuple[str, ...]] = {}
    for part, problems in compared:
        key = (part.kind, part.name, tuple(problems))
        configs[key] = configs.get(key, ()) + part.configs
    order = list(KINDS)
    rows = sorted(configs, key=lambda key: (order.index(key[0]), bool(key[2]), key[1]))
    return tuple(Verdict(kind, n, configs[kind, n, why], why) for kind, n, why in rows)


def _by_itself(kind: str, name: str) -> Part:
    """Builds a component that no config has, if it needs no arguments."""
    try:
        with shapes_only():
            module = KINDS[kind].build({"type": name})
    except (TypeError, ValueError) as error:
        raise LookupError(
            f"The dimensions of {name} are unknown, because no config uses it and it cannot be "
            f"built without arguments ({error}). Write a config with it and name that config"
        ) from error
    return Part(kind, {"type": name}, (), module, {})


def _unknown(name: str, configs: Mapping[str, Config]) -> str:
    inner = [registry for registry in (PROPOSERS, EMBEDDERS, LOSSES) if name in registry.names()]
    if inner:
        return (
            f"{name} is a {inner[0].name}, which is part of another component and declares no "
            f"dimensions alone. Name a config that has it."
        )
    names = [*configs, *(n for registry in KINDS.values() for n in registry.names())]
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`ovss list` shows all names."
    return f"No component or config is named {name!r}. {hint}"


def _readable_configs(name: str) -> dict[str, Config]:
    """Loads every config whose plugins can be imported, and `name` in any case."""
    paths = list_configs()
    if name not in paths and Path(name).is_file():
        paths[name] = Path(name)
    configs = {}
    for other, path in paths.items():
        try:
            configs[other] = load_config(path)
        except PluginError:
            if other == name:
                raise
    return configs

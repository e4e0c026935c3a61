"""Which parts fit a component or a method, and why the others do not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss.registry import register_all

from .configs import list_configs, load_config
from .parts import KINDS, Part, find_parts, parts_misfit
from .plugins import PluginError, load_plugins_that_load


@dataclass(frozen=True)
class Verdict:
    """Whether some parts, all of one class, fit.

    Args:
        kind: argument of the segmentor.
        name: their class.
        configs: where they are found.
        problems: what keeps them from fitting; empty if they fit.
    """

    kind: str
    name: str
    configs: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What fits one thing that was asked for.

    Args:
        asked: ``CATSegDecoder as in cat_seg_mini``, or ``cat_seg_mini`` for a method.
        verdicts: in the order of the figure, what fits first.
    """

    asked: str
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict[str, Any]:
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
        return {"asked": self.asked, "parts": rows}


def compatible_with(name: str) -> list[Answer]:
    """What fits a component, as each config has it, or a config's method.

    Of a component, every part of another kind is compared with it alone. Of a method, every part
    is put in the place of the method's own, the others staying.

    Args:
        name: of a registered class, of a config, or a config file.

    Raises:
        LookupError: nothing is called so, or no config shows how the component is built.
    """
    register_all()
    load_plugins_that_load()
    configs = _readable_configs(name)
    kinds = [kind for kind, registry in KINDS.items() if name in registry.module_dict]
    if name not in configs and not kinds:
        raise LookupError(_unknown(name, configs))
    parts = find_parts(configs)
    if name in configs:
        return [_of_method(name, parts)]
    mine = [part for part in parts if part.name == name] or [_by_itself(kinds[0], name)]
    return _of_components(mine, parts)


def _of_components(mine: list[Part], parts: list[Part]) -> list[Answer]:
    """One answer for all that share it."""
    asked: dict[tuple[Verdict, ...], tuple[str, ...]] = {}
    for part in mine:
        others = [other for other in parts if other.kind != part.kind]
        verdicts = _verdicts([(other, parts_misfit((part, other))) for other in others])
        asked[verdicts] = asked.get(verdicts, ()) + part.configs
    return [
        Answer(f"{mine[0].name} as in {', '.join(configs) or 'no config'}", verdicts)
        for verdicts, configs in asked.items()
    ]


def _of_method(name: str, parts: list[Part]) -> Answer:
    own = {part.kind: part for part in parts if name in part.configs}
    found = [
        (part, parts_misfit({**own, part.kind: part}.values()))
        for part in parts
        if part is not own[part.kind]
    ]
    return Answer(name, _verdicts(found))


def _verdicts(found: Iterable[tuple[Part, list[str]]]) -> tuple[Verdict, ...]:
    """Parts of one class with the same problems, as one; what fits first."""
    configs: dict[tuple[str, str, tuple[str, ...]], tuple[str, ...]] = {}
    for part, problems in found:
        key = (part.kind, part.name, tuple(problems))
        configs[key] = configs.get(key, ()) + part.configs
    order = list(KINDS)
    rows = sorted(configs, key=lambda key: (order.index(key[0]), bool(key[2]), key[1]))
    return tuple(Verdict(kind, n, configs[kind, n, why], why) for kind, n, why in rows)


def _by_itself(kind: str, name: str) -> Part:
    """A component that no config has, if it can be built without arguments."""
    try:
        with torch.device("meta"):
            module = KINDS[kind].build({"type": name})
    except (TypeError, ValueError) as error:
        raise LookupError(
            f"no config here has a {name}, and it is not built without arguments ({error}), so its "
            f"dimensions are unknown: write a config with it and give that"
        ) from error
    return Part(kind, {"type": name}, (), module, {})


def _unknown(name: str, configs: Mapping[str, Config]) -> str:
    names = [*configs, *(n for registry in KINDS.values() for n in registry.names())]
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`ovss list` shows what there is."
    return f"no component and no config is called {name!r}; {hint}"


def _readable_configs(name: str) -> dict[str, Config]:
    """Every config whose plugins can be imported, and the one that is asked for in any case."""
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

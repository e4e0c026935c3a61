"""Configs of a plugin, and the components that they name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ovss.models.configs import read_config, shipped_configs
from ovss.models.plugins import load_available_plugins
from ovss.registry import REGISTRIES, ComponentRegistry, register_all
from ovss.results.zoo import ZooMethod, load_zoo, method_of, weights_state

SLOTS = {
    "encoder": "encoder",
    "selector": "selector",
    "head": "head",
    "decoder": "decoder",
    "post_processor": "post-processor",
}
"""Key of a model's config -> kind of component."""

_DRAWN = {"corrclip": "corrclip_vit-b16", "training_free": "naclip_pamr_vit-b16",
          "two_stage": "zegformer_r101"}  # fmt: skip
"""Configs that figures show, where a plugin has several methods."""


@dataclass(frozen=True)
class Part:
    """Component of a method.

    Args:
        name: name of its class.
        plugin: folder of the plugin that has it; None: a component of the core.
        inside: names of the components that it holds.
        options: short description of the option that makes the method.
    """

    name: str
    plugin: str | None
    inside: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class NamedConfig:
    """Bundled config.

    Args:
        name: name of the config.
        path: its file.
        model: its model.
        weights: checkpoint that it names.
    """

    name: str
    path: Path
    model: Mapping[str, Any]
    weights: str | None

    @property
    def state(self) -> str:
        """Where its weights come from, see `ovss.results.zoo.weights_state`."""
        return weights_state(self.path, self.weights)

    @property
    def method(self) -> ZooMethod | None:
        """Published method."""
        return method_of(self.path)


def register_components() -> None:
    """Registers all components of the core and of the plugins."""
    register_all()
    load_available_plugins()


def components() -> Iterator[tuple[ComponentRegistry, str, type]]:
    """Registry, name and class of every component, by kind."""
    register_components()
    for registry in REGISTRIES:
        for name in registry.names():
            yield registry, name, registry.module_dict[name]


def plugin_of(cls: type) -> str | None:
    """Folder of the plugin that has a class; None for classes of the core."""
    package, _, rest = cls.__module__.partition(".")
    return rest.partition(".")[0] if package == "ovss_plugins" else None


@cache
def configs_of(plugin: str) -> tuple[NamedConfig, ...]:
    """Configs in the folder of a plugin, by name."""
    found = []
    for name, path in shipped_configs().items():
        if path.parent.name == plugin:
            config = read_config(path)
            found.append(NamedConfig(name, path, config.model.to_dict(), config.get("weights")))
    return tuple(sorted(found, key=lambda config: ("_mini" in config.name, config.name)))


def methods_of(plugin: str) -> tuple[ZooMethod, ...]:
    """Published methods of a plugin."""
    return tuple(method for method in load_zoo().values() if method.plugin == plugin)


def figure_config(plugin: str) -> NamedConfig | None:
    """Config that the figure of a plugin shows: the one with most components of the plugin."""
    configs = configs_of(plugin)
    named = [config for config in configs if config.name == _DRAWN.get(plugin)]
    full = named or [config for config in configs if "_mini" not in config.name] or list(configs)
    if not full:
        return None
    counts = [sum(p.plugin == plugin for p in parts_of(config.model).values()) for config in full]
    return full[counts.index(max(counts))]


def parts_of(model: Mapping[str, Any]) -> dict[str, Part]:
    """Components of a model by their kind."""
    known = {name: cls for _, name, cls in components()}
    parts = {}
    for key, kind in SLOTS.items():
        block = model.get(key) or {"type": "Identity"}
        cls = known[block["type"]]
        dense = block.get("dense")
        mode = dense.get("type") if isinstance(dense, Mapping) else dense
        parts[kind] = Part(
            block["type"],
            plugin_of(cls),
            tuple(name for name in _nested(block) if name in known),
            (f"dense tokens: {mode}",) if mode else (),
        )
    return parts


def _nested(block: Mapping[str, Any]) -> Iterator[str]:
    for value in block.values():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Mapping):
                if isinstance(each.get("type"), str):
                    yield each["type"]
                yield from _nested(each)


def summary(value: Any) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]

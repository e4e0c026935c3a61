"""Catalogue of the models that can be created by name."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ovss.encoders.tags import cached_weights
from ovss.io.arguments import typed_arguments
from ovss.models.configs import list_configs, plugin_modules, read_config
from ovss.models.parts import is_upper_bound, pretrained_block
from ovss.models.plugins import find_plugins
from ovss.models.weights import find_weights

from .zoo import method_of, weights_state

__all__ = ["ModelEntry", "list_models"]


@dataclass(frozen=True)
class ModelEntry:
    """Model that `ovss.create_model` builds.

    Args:
        name: name of its config.
        method: published method; empty for a composition that nobody has published.
        plugin: plugin that its config imports; empty if the core has all of its components.
        weights: where its weights come from, see `ovss.results.zoo.weights_state`.
        at_hand: True if every file that it needs is on this machine.
        mini: True for a model of the bundled synthetic world.
        upper_bound: True if it reads the ground truth.
        license: license of the authors' code; empty if it is not known.
        config: file of its config.
    """

    name: str
    method: str
    plugin: str
    weights: str
    at_hand: bool
    mini: bool
    upper_bound: bool
    license: str
    config: Path


@typed_arguments
def list_models(
    pattern: str = "*",
    *,
    method: str | None = None,
    bundled: bool | None = None,
    at_hand: bool | None = None,
    plugin: str | None = None,
) -> list[ModelEntry]:
    """Lists models by name. Nothing is built or downloaded.

    Args:
        pattern: pattern of names such as ``"*_mini"``.
        method: published method, such as ``"CAT-Seg"``; the case of letters does not count.
        bundled: True for models whose weights are in the package, False for the others.
        at_hand: True for models whose files are all on this machine, False for the others.
        plugin: name of a plugin.

    Examples:
        >>> [entry.name for entry in list_models("sed*", bundled=True)]
        ['sed_mini', 'sed_mini_web', 'sed_dcs_mini', 'sed_tags_mini']
    """
    entries = (_entry(name, path) for name, path in list_configs().items()
               if fnmatchcase(name, pattern))  # fmt: skip
    return [
        entry
        for entry in entries
        if (method is None or entry.method.casefold() == method.casefold())
        and (bundled is None or (entry.weights == "bundled") == bundled)
        and (at_hand is None or entry.at_hand == at_hand)
        and (plugin is None or entry.plugin == plugin)
    ]


def _entry(name: str, path: Path) -> ModelEntry:
    config, published = read_config(path), method_of(path)
    named = config.get("weights")
    block = config.to_dict().get("model") or {}
    state = weights_state(path, named)
    return ModelEntry(
        name=name,
        method=published.name if published else "",
        plugin=_plugin(plugin_modules(config, str(path))),
        weights=state,
        at_hand=_at_hand(state, named, block),
        mini="_mini" in name,
        upper_bound=is_upper_bound(block),
        license=(published.license or "") if published else "",
        config=path,
    )


def _plugin(modules: list[str]) -> str:
    """Plugin of the first module that belongs to one."""
    for module in modules:
        for plugin in find_plugins():
            if f"{module}.".startswith(f"{plugin.module}."):
                return plugin.name
    return ""


def _at_hand(state: str, named: str | None, block: dict[str, Any]) -> bool:
    if named:
        try:
            return find_weights(named).is_file()
        except FileNotFoundError:
            return False
    if state == "downloadable":
        encoder = pretrained_block(block.get("encoder") or {})
        tag, architecture = str(encoder.get("pretrained")), str(encoder.get("model"))
        try:
            return cached_weights(architecture, tag) is not None
        except ValueError:  # a file, or a tower of another package
            return Path(tag).is_file()
    return state == "bundled"

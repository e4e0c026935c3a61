"""Checks of a description before anything is imported or built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.excerpts import excerpt, some_of
from ovss.models.configs import plugin_modules
from ovss.models.plugins import find_plugins, import_modules, is_in_plugin
from ovss.models.untrusted import check_untrusted_model, import_untrusted_plugins
from ovss.registry import register_all

from .code import importable_from
from .options import external_blocks
from .records import ASSETS, WEIGHTS_FILE, ModelDescription, SavedModelError

__all__ = ["check_saved_block", "check_weights_entry", "foreign_modules", "import_plugins"]

_SCHEME = re.compile(r"^\s*((hf[-_]hub|local[-_]dir|file|data)\s*:|[a-z][a-z0-9+.\-]*:/)", re.I)
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 22
"""Size that no dimension, number of layers or image side of a model has."""


def foreign_modules(modules: tuple[str, ...]) -> list[str]:
    """Modules that belong neither to ovss nor to an installed plugin."""
    return [name for name in modules if not (name.startswith("ovss.") or is_in_plugin(name))]


def import_plugins(description: ModelDescription, folder: Path, allow_code: bool) -> None:
    """Imports the plugins that a model needs.

    Args:
        description: content of ``config.json``.
        folder: folder of the model.
        allow_code: True to import modules outside of installed plugins as well, which may lie in
            the folder.

    Raises:
        SavedModelError: a plugin is not installed, or a module needs the permission.
        PluginError: a module fails to import.
    """
    source = str(folder)
    config = Config({"custom_imports": {"imports": list(description.modules)}})
    modules = tuple(plugin_modules(config, source))
    installed = {plugin.name for plugin in find_plugins()}
    for plugin in description.plugins:
        if plugin.get("name") not in installed and not allow_code:
            raise SavedModelError(
                f"{folder} needs the plugin {excerpt(plugin.get('name'))} of the package "
                f"{str(plugin.get('distribution'))[:80]} {str(plugin.get('version'))[:40]}, which "
                f"is not installed. Install that package"
            )
    foreign = foreign_modules(modules)
    if foreign and not allow_code:
        raise SavedModelError(
            f"{folder} needs the modules {some_of(foreign)}, which belong to none of the installed "
            f"plugins. Install the plugin as a package, or read the code and pass allow_code=True"
        )
    own = [name for name in modules if name not in foreign]
    import_untrusted_plugins(Config({"custom_imports": {"imports": own}}), source)
    if foreign:
        with importable_from(folder):
            import_modules(foreign, source)


def check_saved_block(model: Mapping[str, Any], folder: Path, allow_code: bool = False) -> None:
    """Checks that a ``model`` block names registered components and plain values only.

    Args:
        model: block, whose plugins are imported.
        folder: folder of the model, for messages.
        allow_code: True to accept components of other packages.

    Raises:
        UntrustedConfigError: a component, a key or a value that could run code.
        SavedModelError: an absolute path, an address, a path that leaves the folder, or a number
            that no option has.
    """
    register_all()
    if not allow_code:
        check_untrusted_model(dict(model), str(folder))
    for holder, key, place in external_blocks(dict(model)):
        value = holder[key]
        if key == "pretrained" and not (isinstance(value, str) and value.startswith(f"{ASSETS}/")):
            raise SavedModelError(
                f"The config in {folder} must have null or a file in {ASSETS} as {place[:80]}, but "
                f"has {excerpt(value)}, because a saved model downloads nothing. Use an unedited "
                f"copy"
            )
    for place, value in _values(model, "model"):
        if isinstance(value, str) and _leads_outside(value):
            raise SavedModelError(
                f"The config in {folder} must name files of its own folder ({ASSETS}/...) in "
                f"{place[:80]}, but names {excerpt(value)}. Nothing was built. Use a name, or save "
                f"the model with its file"
            )
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise SavedModelError(
                f"The config in {folder} has {place[:80]}={excerpt(value)}, which is too large. "
                f"Use an unedited copy"
            )


def check_weights_entry(description: ModelDescription, folder: Path) -> str:
    """SHA-256 that the weights file must have.

    Raises:
        SavedModelError: the description names another file, or no hash.
    """
    weights = description.weights
    expected = weights.get("sha256")
    is_hash = isinstance(expected, str) and _SHA256.fullmatch(expected) is not None
    if weights.get("file") != WEIGHTS_FILE or not is_hash:
        raise SavedModelError(
            f"config.json in {folder} must have the file {WEIGHTS_FILE} and its SHA-256 under "
            f"'weights', but has {excerpt(weights)}. Use an unedited copy"
        )
    return str(expected)


def _leads_outside(text: str) -> bool:
    parts = text.replace("\\", "/").split("/")
    return (
        text.startswith(("/", "\\", "~"))
        or ".." in parts
        or "\0" in text
        or bool(_SCHEME.match(text) or _DRIVE.match(text))
    )


def _values(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything inside a block that is neither a dict nor a list."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _values(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _values(item, f"{place}.{index}")
    else:
        yield place, value

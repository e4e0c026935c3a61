"""Plugins: methods outside the core, found by entry point and loaded by name.

There are two ways to load one. A config's ``custom_imports`` names plugin modules and is stored
with every checkpoint. An installed distribution may also declare an entry point of the group
``ovss.plugins``. The command line loads those, so that their methods work without a config.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

GROUP = "ovss.plugins"


class PluginError(ImportError):
    """Raised when a named plugin cannot be imported."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin.

    Args:
        name: name of the entry point.
        module: dotted name of the module that registers its components.
        distribution: name of the installed package.
        version: version of that package.
    """

    name: str
    module: str
    distribution: str
    version: str

    @property
    def path(self) -> str:
        """Folder or file of the module; empty if it does not exist."""
        try:
            spec = _find_spec(self.module)
        except Exception:  # finders of editable installs may raise anything
            return ""
        if spec is None or not spec.origin:
            return ""
        origin = Path(spec.origin)
        return str(origin.parent if origin.name == "__init__.py" else origin)

    def submodule(self, name: str) -> Path | None:
        """File of a submodule of the plugin's package, not imported; None if there is none."""
        if not self.path:
            return None
        candidates = (Path(self.path, f"{name}.py"), Path(self.path, name, "__init__.py"))
        return next((file for file in candidates if file.is_file()), None)


def find_plugins() -> list[Plugin]:
    """Lists every installed plugin, sorted by name, without importing any."""
    return sorted((_describe(entry) for entry in entry_points(group=GROUP)), key=lambda p: p.name)


def find_submodules(name: str) -> dict[str, str]:
    """Plugin name -> dotted name of its submodule `name`, for installed plugins that have one.

    Nothing is imported. Of two plugins of the same name the first has precedence.
    """
    found: dict[str, str] = {}
    for plugin in find_plugins():
        if plugin.submodule(name) is not None:
            found.setdefault(plugin.name, f"{plugin.module}.{name}")
    return found


def is_in_plugin(module: str) -> bool:
    """True if a module belongs to an installed plugin."""
    roots = [plugin.module for plugin in find_plugins()]
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def load_plugins() -> list[Plugin]:
    """Imports every installed plugin.

    Raises:
        PluginError: a plugin fails to import; the message names it and its distribution.
    """
    plugins = find_plugins()
    for plugin in plugins:
        load_plugin(plugin)
    return plugins


def load_plugin(plugin: Plugin) -> None:
    """Imports one installed plugin.

    Raises:
        PluginError: it fails to import; the message names it and its distribution.
    """
    try:
        importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"Plugin {plugin.name!r} of distribution {plugin.distribution} {plugin.version} "
            f"failed to load. Importing {plugin.module} raised {type(error).__name__}: {error}. "
            f"Upgrade or uninstall {plugin.distribution}"
        ) from error


def import_modules(imports: str | list[str], source: str) -> None:
    """Imports a config's ``custom_imports``.

    Args:
        imports: one module name, or several.
        source: name of the config, for messages.

    Raises:
        PluginError: a module fails to import; the message names it and `source`.
    """
    for module in [imports] if isinstance(imports, str) else imports:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{source} names the plugin module {module!r} in custom_imports. Importing it "
                f"raised {type(error).__name__}: {error}. Install it, or correct the name"
            ) from error


def _find_spec(module: str) -> ModuleSpec | None:
    """Spec of a module. Unlike `importlib.util.find_spec` this does not import its parents."""
    name, *rest = module.split(".")
    spec = importlib.util.find_spec(name)
    for part in rest:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return spec


def _describe(entry: EntryPoint) -> Plugin:
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist else ("unknown", "unknown")
    return Plugin(entry.name, entry.value.partition(":")[0], name, version)


def plugin_problem(plugin: Plugin) -> str:
    """Reason why a plugin cannot be loaded; empty if it can."""
    try:
        load_plugin(plugin)
    except PluginError as error:
        return str(error)
    return ""


def load_available_plugins() -> None:
    """Imports every installed plugin; `ovss list plugins` shows the problems of those that fail."""
    for plugin in find_plugins():
        plugin_problem(plugin)

"""Commands of installed plugins, found by their files and imported only when they run.

A plugin may have a subpackage ``commands`` with one module per command. The module
``visual_prompts.py`` becomes `ovss visual-prompts`. It defines:

- a docstring, shown as the description;
- a string ``SUMMARY``, shown as one line of `ovss --help`;
- functions ``add_arguments(parser)`` and ``run(args) -> int``.

The parser supports ``action="key_values"``, which collects KEY=VALUE pairs into a dictionary.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ovss.models.plugins import Plugin, PluginError, find_plugins

FOLDER = "commands"


@dataclass(frozen=True)
class PluginCommand:
    """Command of an installed plugin.

    Args:
        name: name on the command line, after `ovss`.
        plugin: plugin that provides the command.
        file: module file.
    """

    name: str
    plugin: Plugin
    file: Path

    @property
    def summary(self) -> str:
        """``SUMMARY`` of the module, read without importing it."""
        try:
            tree = ast.parse(self.file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return self._broken
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                if "SUMMARY" in names and isinstance(node.value.value, str):
                    return " ".join(node.value.value.split())
        return self._broken

    @property
    def _broken(self) -> str:
        return f"broken command of plugin {self.plugin.name}; `ovss doctor` shows the reason"

    def load(self) -> ModuleType:
        """Imports the module.

        Raises:
            PluginError: the module cannot be imported or lacks a part.
        """
        origin = f"plugin {self.plugin.name!r} ({self.plugin.distribution} {self.plugin.version})"
        try:
            module = importlib.import_module(f"{self.plugin.module}.{FOLDER}.{self.file.stem}")
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"Command {self.name!r} of {origin} failed to load with {type(error).__name__}: "
                f"{error}. Upgrade or uninstall {self.plugin.distribution}"
            ) from error
        lacking = [name for name in ("SUMMARY", "add_arguments", "run") if name not in vars(module)]
        if lacking:
            raise PluginError(
                f"Command {self.name!r} of {origin} lacks {' and '.join(lacking)}. Add it to "
                f"{self.file}"
            )
        return module


def find_commands(reserved: Collection[str] = ()) -> dict[str, PluginCommand]:
    """Finds the commands of all installed plugins without importing anything.

    Args:
        reserved: names of built-in commands. A plugin's command whose name is reserved, or used by
            an earlier plugin, is called ``PLUGIN/NAME``.
    """
    commands: dict[str, PluginCommand] = {}
    for plugin in find_plugins():
        for file in sorted(Path(plugin.path, FOLDER).glob("*.py")) if plugin.path else ():
            if file.stem.startswith("_"):
                continue
            name = file.stem.replace("_", "-")
            if name in reserved or name in commands:
                name = f"{plugin.name}/{name}"
            commands[name] = PluginCommand(name, plugin, file)
    return commands

"""Law of configs: each names the plugins that it needs in ``custom_imports``.

The process that runs a plugin's tests has imported the plugin, so a config that forgets to name it
works there, and fails for its users. So configs are read in a process that has imported only ovss.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mmengine.registry
from mmengine.config import Config

from ovss.models.configs import plugin_modules, read_config
from ovss.models.plugins import find_plugins, import_modules
from ovss.registry import REGISTRIES, register_all
from ovss.segmentor import OpenVocabSegmentor

from .report import LawError

_PROGRAM = (
    "from ovss.io.children import end_with_parent; end_with_parent({parent}); "
    "from {module} import main; main()"
)
TIMEOUT = 600
"""Seconds that the fresh process may take for all configs."""


def configs_name_their_plugins(configs: Iterable[str | Path], package: str = "") -> None:
    """Checks that each config imports the plugins that define its components.

    Args:
        configs: files. The plugins they need are imported already.
        package: the plugin they belong to.

    Raises:
        LawError: configs whose components are missing in a process that has imported only ovss,
            and the line to add to each.
    """
    register_all()
    files = {str(path): read_config(path) for path in configs}
    needed = {path: plugins_needed(config, package) for path, config in files.items()}
    found = _missing_when_fresh({path: list(plugins) for path, plugins in needed.items()})
    broken = {path: missing for path, missing in found.items() if missing}
    if broken:
        names = ", ".join(Path(path).stem for path in broken)
        advice = [
            missing
            if isinstance(missing, str)
            else _advice(path, files[path], {name: needed[path][name] for name in missing})
            for path, missing in broken.items()
        ]
        raise LawError(f"config {names}", " ".join(advice), configs_name_their_plugins.__name__)


def plugins_needed(config: Config, package: str = "") -> dict[str, str]:
    """Registered name -> plugin module, for every class of a plugin that a config names.

    Args:
        package: a module that counts as a plugin, installed or not.
    """
    modules = (package, *(plugin.module for plugin in find_plugins()))
    plugins = [module for module in modules if module]
    needed = {}
    for name in _types(config.to_dict()):
        for registered in _registered():
            plugin = _plugin_of(registered[name], plugins) if name in registered else ""
            if plugin:
                needed[name] = plugin
    return needed


def _types(block: Any) -> Iterator[str]:
    """Every ``type`` at any depth."""
    if isinstance(block, Mapping):
        if isinstance(block.get("type"), str):
            yield block["type"]
        block = list(block.values())
    if isinstance(block, list | tuple):
        for part in block:
            yield from _types(part)


def _registered() -> list[Mapping[str, Any]]:
    """Registered name -> class, of every registry: ours and mmengine's."""
    others = [
        value
        for value in vars(mmengine.registry).values()
        if isinstance(value, mmengine.registry.Registry)
    ]
    return [registry.module_dict for registry in (*REGISTRIES, *others)]


def _plugin_of(cls: Any, plugins: list[str]) -> str:
    """Plugin module that defines a class; "" for a class of ovss or of a library."""
    module = getattr(cls, "__module__", "")
    holders = [plugin for plugin in plugins if f"{module}.".startswith(f"{plugin}.")]
    if holders:
        return max(holders, key=len)
    kinds = (*(registry.kind for registry in REGISTRIES), OpenVocabSegmentor)
    ours = not isinstance(cls, type) or not issubclass(cls, kinds) or module.startswith("ovss.")
    return "" if ours else module.partition(".")[0]


def _advice(path: str, config: Config, missing: dict[str, str]) -> str:
    imports = plugin_modules(config, path)
    line = json.dumps([*imports, *sorted(set(missing.values()) - set(imports))])
    return (
        f"{Path(path).name} needs {', '.join(missing)}, not registered in a process that has "
        f"imported only ovss. Add custom_imports = dict(imports={line}) to {path}."
    )


# -- the fresh process ---------------------------------------------------------------------------


def _missing_when_fresh(needed: dict[str, list[str]]) -> dict[str, Any]:
    """Path -> names that are not registered after the config is loaded, or the error it raises."""
    if not any(needed.values()):
        return {}
    folders = os.pathsep.join(folder for folder in sys.path if folder)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(parent=os.getpid(), module=__name__)],
        input=json.dumps(needed),
        env={**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise RuntimeError(f"the process that reads configs failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Reads ``{path: names}`` as JSON, and prints the names that each config leaves unregistered.

    Each config is loaded in a fork, because the plugins that one imports must not help the next.
    """
    register_all()
    forks = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    found = {}
    for path, names in json.load(sys.stdin).items():
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send_missing, args=(path, names, sender))
        process.start()
        sender.close()
        try:
            found[path] = receiver.recv()
        except EOFError:
            found[path] = f"{path}: the process that loads it ended without an answer"
        process.join()
    print(json.dumps(found))


def _send_missing(path: str, names: list[str], sender: Connection) -> None:
    try:  # only the imports count here, so components are not checked as load_config would
        import_modules(plugin_modules(read_config(path), path), path)
    except Exception as error:
        sender.send(f"{Path(path).name} cannot be loaded: {type(error).__name__}: {error}")
    else:
        known = {name for registered in _registered() for name in registered}
        sender.send([name for name in names if name not in known])

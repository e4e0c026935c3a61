"""Finds configs by name or path, reads them with their bases and applies overrides."""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.arguments import typed_arguments
from ovss.io.excerpts import excerpt, some_of
from ovss.registry import register_all

from .config_keys import check_keys
from .config_kinds import check_kinds, without_unset
from .config_merge import (
    TypeChange,
    check_mergeable,
    merged,
    nested,
    type_changes,
    without_delete,
)
from .config_reader import read_file
from .config_source import ConfigError, located
from .plugins import find_plugins, import_modules
from .validation import check_config


def config_dir() -> Path:
    """Folder of the bundled configs."""
    spec = importlib.util.find_spec("ovss_configs")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).parents[2] / "configs"


def list_configs() -> dict[str, Path]:
    """Name -> file of every method config, bundled or of an installed plugin.

    If a plugin's config has the name of an earlier one, it is listed as ``PLUGIN/NAME``.
    """
    configs = shipped_configs()
    for plugin in find_plugins():
        for name, path in plugin_configs(plugin.path).items():
            configs[f"{plugin.name}/{name}" if name in configs else name] = path
    return configs


def shipped_configs() -> dict[str, Path]:
    """Name -> file of every bundled method config, without base configs.

    Configs that mix methods come last, so that each part is listed under its own method first.
    """
    files = sorted(
        config_dir().glob("*/*.py"), key=lambda path: (path.parent.name == "mixed", path)
    )
    return {
        path.stem: path
        for path in files
        if not path.parent.name.startswith("_") and path.stem != "__init__"
    }


def plugin_configs(package: str | Path) -> dict[str, Path]:
    """Name -> file of every config in the folder ``configs`` of a plugin's package."""
    if not str(package):
        return {}
    files = sorted((Path(package) / "configs").glob("*.py"))
    return {path.stem: path for path in files if not path.stem.startswith("_")}


def find_config(name_or_path: str | Path) -> Path:
    """Finds the file of a config.

    Args:
        name_or_path: path, or name of a bundled or plugin config such as ``cat_seg_mini``.

    Raises:
        FileNotFoundError: the config does not exist; the message suggests the closest names.
    """
    path, known = Path(name_or_path), list_configs()
    if path.is_file():
        return path
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if (path / "config.json").is_file():
        raise FileNotFoundError(
            f"{path} is a saved model, but a config is expected here. Saved models segment, label "
            f"and are exported. Name the config that the model was built from, and as its weights "
            f"{path / 'model.safetensors'}"
        )
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder, not a config. Name a config file in it")
    if path.suffix == ".py" or len(path.parts) > 1:
        is_repository = not path.suffix and len(path.parts) == 2
        hint = f", or use hf-hub:{path} for a model of the hub" if is_repository else ""
        raise FileNotFoundError(
            f"Config file {excerpt(str(path))} does not exist. Correct the path{hint}"
        )
    close = difflib.get_close_matches(str(name_or_path), known, n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {some_of(list(known))}."
    raise FileNotFoundError(f"Unknown config {excerpt(str(name_or_path))}. {hint}")


def find_base(name: str) -> Path | None:
    """Finds a base among the bundled configs and those of plugins; None if it does not exist.

    Args:
        name: name of a config, with or without ``.py``, or a path inside the folder of the bundled
            configs such as ``_base_/default_runtime.py``.
    """
    known, inside = list_configs(), config_dir() / name
    if inside.is_file():
        return inside
    return known.get(name.removeprefix("./").removesuffix(".py"))


def read_config(path: str | Path) -> Config:
    """Reads a config file with its bases; nothing is imported.

    A config in any folder inherits from a bundled one by name (``_base_ = ["cat_seg_mini.py"]``)
    or by path (``_base_ = ["{{$OVSS_CONFIGS:}}/_base_/default_runtime.py"]``). A file next to the
    config has precedence over a bundled config of the same name.

    Raises:
        ConfigError: the file or a base cannot be read; the message names file and line.
    """
    return _read(path)[0]


@typed_arguments
def load_config(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Reads a config with its bases, applies overrides, imports its plugins and checks its keys.

    Args:
        name_or_path: name or path of a config, see `find_config`.
        overrides: dotted key -> value, for example ``{"model.selector.k": 64}``.

    Raises:
        ConfigError: the config cannot be read, or a key does not fit the type that it is set for.
        PluginError: a module in ``custom_imports`` cannot be imported.
        KeyError, TypeError: unknown key, component or argument; the message suggests the closest.
    """
    path = find_config(name_or_path)
    config, changes = _read(path)
    if overrides:
        changes += override(config, overrides)
    without_unset(config)
    check_keys(config)
    check_kinds(config)
    register_all()
    import_modules(plugin_modules(config, str(path)), str(path))
    with located(name_or_path):
        check_config(config, changes)
    return config


def override(config: Config, overrides: dict[str, Any]) -> list[TypeChange]:
    """Sets keys of a config, in place.

    Args:
        config: config to change.
        overrides: dotted key -> value.

    Returns:
        Blocks that changed their type and kept keys of the earlier type.

    Raises:
        ConfigError: a key is not dotted text, names a helper variable or a base of the config, is
            set twice, or passes through a value that is neither a dict nor a list.
    """
    try:
        own = nested(overrides)
        changes = list(type_changes(own, config, "the config"))
        check_mergeable(own, config, has_indices=True)
        for key, value in own.items():
            config[key] = merged(value, config.get(key))
    except (ConfigError, KeyError) as error:
        keys = some_of([str(key) for key in overrides])
        raise ConfigError(f"Cannot set {keys}: {error.args[0]}") from None
    without_delete(config._cfg_dict)
    return changes


def _read(path: str | Path) -> tuple[Config, list[TypeChange]]:
    os.environ["OVSS_CONFIGS"] = config_dir().as_posix()
    values, changes = read_file(Path(path), find_base)
    if not values:
        raise ConfigError(f"{path} is empty. Set `model` or `_base_`")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{path}: keys must be text, got {excerpt(odd[0])}. Correct the config")
    try:
        return Config(values, filename=str(path)), changes
    except KeyError as error:  # name that mmengine reserves
        raise ConfigError(f"{path}: {error.args[0]}. Rename the key") from None
    except RecursionError:
        raise ConfigError(f"{path} nests its values too deeply. Simplify the config") from None


def plugin_modules(config: Config, source: str) -> list[str]:
    """Modules that the key ``custom_imports`` of a config names.

    Args:
        config: config to read.
        source: file of the config, for messages.

    Raises:
        ConfigError: the key is not a dict, or names something other than modules.
    """
    imports = config.get("custom_imports") or {}
    if not isinstance(imports, dict):
        raise ConfigError(
            f"custom_imports in {source} must be dict(imports=[...]), got {excerpt(imports)}. "
            f"Correct it"
        )
    if unknown := imports.keys() - {"imports", "allow_failed_imports"}:
        raise ConfigError(
            f"custom_imports in {source} has the unknown key {sorted(map(str, unknown))[0]!r}. Use "
            f"dict(imports=[...])"
        )
    modules = imports.get("imports") or []
    modules = [modules] if isinstance(modules, str) else modules
    if not isinstance(modules, (list, tuple)) or not all(
        isinstance(name, str) and all(part.strip() for part in name.split(".")) for name in modules
    ):
        raise ConfigError(
            f"custom_imports.imports in {source} must be a list of module names, got "
            f"{excerpt(modules)}. Correct it"
        )
    return list(modules)


def use_dataset(config: Config, name: str) -> None:
    """Replaces the test dataset of a config.

    Args:
        config: config whose ``test_dataloader`` and ``test_evaluator`` are replaced.
        name: name of a file in ``configs/_base_/datasets`` or of a config, or the path of a config.

    Raises:
        FileNotFoundError: unknown dataset; the message lists the known ones.
        ConfigError: the config cannot be read, or names no test data.
    """
    folder = config_dir() / "_base_" / "datasets"
    known = {path.stem: path for path in (*folder.glob("*.py"), *list_configs().values())}
    path = Path(name) if Path(name).is_file() else known.get(name)
    if path is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        datasets = ", ".join(sorted(p.stem for p in folder.glob("*.py")))
        raise FileNotFoundError(
            f"Unknown dataset {excerpt(name)}. {hint}Choose one of {datasets}, or name a config "
            f"with `test_dataloader` and `test_evaluator`"
        )
    other = read_config(path)
    check_kinds(other)
    missing = [key for key in ("test_dataloader", "test_evaluator") if not other.get(key)]
    if missing:
        raise ConfigError(
            f"{path} has no {' and no '.join(missing)}, so it names no test data. Choose another "
            f"dataset"
        )
    config.test_dataloader, config.test_evaluator = other.test_dataloader, other.test_evaluator

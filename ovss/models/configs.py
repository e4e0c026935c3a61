"""Configs by name or path: found, read with their bases, changed by flags."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.registry import register_all

from .config_reader import ConfigError, TypeChange, read_file, type_changes, without_delete
from .plugins import find_plugins, import_modules
from .validation import check_config

DEFAULT_METHOD = "dcp_clip_mini"
"""Config of the bundled model, used where none is named."""


def config_dir() -> Path:
    """Folder of the configs that come with the package."""
    spec = importlib.util.find_spec("ovss_configs")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).parents[2] / "configs"


def list_configs() -> dict[str, Path]:
    """Name -> file of every method config: those of the package, and of installed plugins.

    A plugin's config whose name is taken is called ``PLUGIN/NAME``.
    """
    found = shipped_configs()
    for plugin in find_plugins():
        for name, path in plugin_configs(plugin.path).items():
            found[f"{plugin.name}/{name}" if name in found else name] = path
    return found


def shipped_configs() -> dict[str, Path]:
    """Name -> file of every method config that comes with the package, bases left out.

    Mixes of several methods come last: a part is known by the method that it is from.
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
    """File of a config.

    Args:
        name_or_path: a path, or the name of a config of the package such as ``cat_seg_mini``.

    Raises:
        FileNotFoundError: with the closest names.
    """
    path, known = Path(name_or_path), list_configs()
    if path.is_file():
        return path
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if path.suffix == ".py" or len(path.parts) > 1:
        raise FileNotFoundError(f"no config file {str(path)!r}")
    close = difflib.get_close_matches(str(name_or_path), known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
    raise FileNotFoundError(f"no config is called {str(name_or_path)!r}; {hint}")


def find_base(name: str) -> Path | None:
    """File of a base that is not found relative to the config that names it.

    Args:
        name: name of a config, with or without ``.py``, or a path inside the folder of the bundled
            configs such as ``_base_/default_runtime.py``.
    """
    known, inside = list_configs(), config_dir() / name
    if inside.is_file():
        return inside
    return known.get(name.removeprefix("./").removesuffix(".py"))


def read_config(path: str | Path) -> Config:
    """A config file with its bases; nothing is imported.

    A file anywhere inherits from ours by name, ``_base_ = ["cat_seg_mini.py"]``, or by path,
    ``_base_ = ["{{$OVSS_CONFIGS:}}/_base_/default_runtime.py"]``. A file that is found relative to
    the config wins over a bundled one.

    Raises:
        ConfigError: the file or a base cannot be read; with file and line.
    """
    return _read(path)[0]


def load_config(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a config with its bases, import the plugins it names, apply overrides, check its keys.

    Args:
        name_or_path: see `find_config`.
        overrides: dotted keys, e.g. ``{"model.selector.k": 64}``.

    Raises:
        ConfigError: the config cannot be read, or a key does not fit the type that it is set for.
        PluginError: a module in ``custom_imports`` cannot be imported.
        KeyError, TypeError: an unknown key, component or argument, with the closest known one.
    """
    path = find_config(name_or_path)
    config, changes = _read(path)
    if overrides:
        changes += override(config, overrides)
    register_all()
    import_modules(_imports(config, path), str(path))
    check_config(config, changes)
    return config


def override(config: Config, overrides: dict[str, Any]) -> list[TypeChange]:
    """Set keys of a config, in place.

    Args:
        config: changed.
        overrides: see `load_config`.

    Returns:
        blocks that got another type and kept keys of the earlier one.

    Raises:
        ConfigError: a key that leads through something that is not a dict or a list.
    """
    own: dict[str, Any] = {}
    try:
        for key, value in overrides.items():
            *parents, last = key.split(".")
            block = own
            for parent in parents:
                block = block.setdefault(parent, {})
            block[last] = copy.deepcopy(value)
        changes = list(type_changes(own, config, "the config"))
        config.merge_from_dict(own)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        text = error.args[0] if error.args else error
        raise ConfigError(f"Cannot set {', '.join(overrides)}: {text}. Correct the key") from None
    without_delete(config._cfg_dict)
    return changes


def _read(path: str | Path) -> tuple[Config, list[TypeChange]]:
    os.environ["OVSS_CONFIGS"] = config_dir().as_posix()
    values, changes = read_file(Path(path), find_base)
    if not values:
        raise ConfigError(f"{path} is empty. Set at least `model`, or `_base_`")
    try:
        return Config(values, filename=str(path)), changes
    except KeyError as error:  # a name that mmengine keeps for itself
        raise ConfigError(f"{path}: {error.args[0]}. Rename the key") from None


def _imports(config: Config, path: Path) -> Any:
    imports = config.get("custom_imports") or {}
    if not isinstance(imports, dict):
        raise ConfigError(
            f"{path}: custom_imports must be dict(imports=[...]), got {imports!r}. Correct it"
        )
    return imports.get("imports", [])


def use_dataset(config: Config, name: str) -> None:
    """Test on another data set.

    Args:
        config: is given the other's `test_dataloader` and `test_evaluator`.
        name: of a file in `configs/_base_/datasets`, of a config, or a path.

    Raises:
        FileNotFoundError: with the data sets there are.
    """
    folder = config_dir() / "_base_" / "datasets"
    known = {path.stem: path for path in (*folder.glob("*.py"), *list_configs().values())}
    path = Path(name) if Path(name).is_file() else known.get(name)
    if path is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        sets = ", ".join(sorted(p.stem for p in folder.glob("*.py")))
        raise FileNotFoundError(
            f"no data set is called {name!r}; {hint}There are {sets}, or name a config "
            f"with `test_dataloader` and `test_evaluator`"
        )
    other = read_config(path)
    config.test_dataloader, config.test_evaluator = other.test_dataloader, other.test_evaluator

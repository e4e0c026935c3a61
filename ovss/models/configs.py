"""Configs by name or path: found, read with their bases, changed by flags."""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger

from ovss.registry import register_all

from .plugins import find_plugins, import_modules

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


def read_config(path: str | Path) -> Config:
    """A config file with its bases; nothing is imported.

    A file anywhere inherits from ours by mmengine's rule for environment variables:
    ``_base_ = ["{{$OVSS_CONFIGS:}}/_base_/default_runtime.py"]``.
    """
    os.environ["OVSS_CONFIGS"] = config_dir().as_posix()
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")  # it tells of the variable on standard output, where JSON goes
    try:
        return Config.fromfile(path, import_custom_modules=False)
    finally:
        logger.setLevel(level)


def load_config(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read a config with its bases, import the plugins it names, apply overrides.

    Args:
        name_or_path: see `find_config`.
        overrides: dotted keys, e.g. ``{"model.selector.k": 64}``.

    Raises:
        PluginError: a module in ``custom_imports`` cannot be imported.
    """
    path = find_config(name_or_path)
    config = read_config(path)
    if overrides:
        config.merge_from_dict(overrides)
    register_all()
    import_modules(config.get("custom_imports", {}).get("imports", []), str(path))
    return config


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

"""From a config's name to a model that is ready to segment."""

from __future__ import annotations

import difflib
import importlib.util
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

from .plugins import find_plugins, import_modules
from .registry import check_arguments, register_all
from .segmentor import OpenVocabSegmentor

WEIGHTS_DIR = Path(__file__).parent / "weights"


def config_dir() -> Path:
    """Folder of the configs that come with the package."""
    spec = importlib.util.find_spec("ovss_configs")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).parent.parent / "configs"


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


def build_segmentor(
    config: str | Path | Config,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
) -> OpenVocabSegmentor:
    """A method in evaluation mode.

    Args:
        config: a `Config`, or what `load_config` takes.
        weights: see `load_trained`.
        device: where to put it.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    with pretrained_if_needed(config, weights):
        model = build_model(config.model)
    load_trained(model, config, weights)
    return model.to(device).eval()


def pretrained_if_needed(
    config: Config, weights: str | Path | None = "default"
) -> AbstractContextManager[None]:
    """A model built within loads its encoder's pre-trained file only if `weights`, which
    `load_trained` is to load next, leaves something to it: a published checkpoint is all there is,
    and works without a network.
    """
    from .checkpoint import is_whole
    from .encoders.weights import weights_come_later

    path = named_weights(config, weights)
    return weights_come_later(path is not None and is_whole(find_weights(path)))


def build_model(model: dict[str, Any]) -> OpenVocabSegmentor:
    """A segmentor of a config's ``model`` block, as its components make it.

    Raises:
        KeyError, TypeError: no such segmentor, or arguments that it does not take.
    """
    arguments = {k: v for k, v in model.items() if k not in ("type", "_scope_")}
    name = model.get("type", "OpenVocabSegmentor")
    segmentor = MODELS.get(name) if isinstance(name, str) else name
    if segmentor is None:
        raise KeyError(
            f"no segmentor is called {name!r}. If it is in a plugin, name the plugin's module in "
            f"the config: custom_imports = dict(imports=['the_plugin'])"
        )
    check_arguments(segmentor, arguments)
    return segmentor(**arguments)


def load_trained(
    model: OpenVocabSegmentor, config: Config, weights: str | Path | None = "default"
) -> None:
    """Load a method's trained weights.

    Args:
        model: built of `config`.
        config: may name the method's own file in ``weights``.
        weights: a checkpoint; ``"default"``: the one that the config names; None: none beyond the
            encoder's own, what is trained stays random.

    Raises:
        ValueError: the default is asked for, there is none, and parts beside the encoder have
            parameters: their masks would be noise.
        FileNotFoundError, CheckpointError: no such file, or it does not fit.
    """
    from .checkpoint import load_weights

    path = named_weights(config, weights)
    if path is not None:
        load_weights(model, find_weights(path))
    elif weights is not None:
        random = random_parts(model)
        if random:
            raise ValueError(
                f"{Path(config.filename or 'the config').stem} names no trained weights, and its "
                f"{' and '.join(random)} would be random: give a checkpoint (--weights FILE; one "
                f"of the authors' is converted first by tools/convert_checkpoint.py), or ask for "
                f"random weights (--weights none, weights=None in Python)"
            )


def named_weights(config: Config, weights: str | Path | None) -> str | Path | None:
    """What `load_trained` calls weights, as it is named: a config's own for ``"default"``."""
    return config.get("weights") if weights == "default" else weights


def random_parts(model: OpenVocabSegmentor) -> list[str]:
    """Parts beside the encoder that mean nothing without training: those with parameters."""
    parts = ("selector", "head", "decoder", "post_processor")
    return [part for part in parts if any(True for _ in getattr(model, part).parameters())]


def find_weights(path: str | Path) -> Path:
    """A checkpoint file: as named, or in the folder ``weights`` of ours or of a plugin's package.

    Raises:
        FileNotFoundError: with the places looked at.
    """
    for candidate in (Path(path), WEIGHTS_DIR / path):
        if candidate.is_file():
            return candidate
    packages = [Path(plugin.path) for plugin in find_plugins() if plugin.path]
    folders = [package / "weights" for package in packages]
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    places = ", ".join(str(folder) for folder in (WEIGHTS_DIR, *folders) if folder.is_dir())
    raise FileNotFoundError(f"no checkpoint {str(path)!r}, neither as a path nor in {places}")

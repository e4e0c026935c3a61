"""Reads the folder of a model: checked first, then built, then filled with its weights."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ovss.encoders.weights import weights_come_later
from ovss.io.excerpts import excerpt, one_line
from ovss.io.weight_files import file_sha256
from ovss.models.build import build_model, build_on_meta
from ovss.models.checkpoint import load_weights, misfit_of
from ovss.models.configs import override
from ovss.models.plugins import find_plugins
from ovss.segmentor import OpenVocabSegmentor

from .assets import check_assets, with_paths
from .options import tuples
from .places import file_in
from .records import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelDescription,
    SavedModelError,
    read_model_description,
)
from .statistics import set_statistics
from .trust import check_saved_block, check_weights_entry, import_plugins

__all__ = ["LoadedModel", "is_model_folder", "load_model", "misfit_on_meta"]

_MODULES, _MODULES_PER_TENSOR = 2000, 10


@dataclass(frozen=True)
class LoadedModel:
    """Model of a folder.

    Args:
        model: model in evaluation mode.
        config: config with its ``model`` block, whose file names are paths.
        description: content of ``config.json``.
    """

    model: OpenVocabSegmentor
    config: Config
    description: ModelDescription


def is_model_folder(path: str | Path) -> bool:
    """True for a folder with an entry ``config.json``, even if it cannot be read."""
    return Path(path).is_dir() and os.path.lexists(Path(path) / CONFIG_FILE)


def load_model(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    overrides: Mapping[str, Any] | None = None,
    allow_code: bool = False,
) -> LoadedModel:
    """Loads the model of a folder. No code of the folder is executed.

    Args:
        folder: folder that `ovss.hub.saving.save_model` wrote.
        device: device of the model.
        overrides: config keys to change, for example ``{"model.inference.views_per_batch": 2}``.
        allow_code: True to import modules that the folder names or holds and that belong to none of
            the installed plugins.

    Raises:
        SavedModelError: the folder holds no model, a damaged one, one of another format, or one
            that needs what is not installed or not permitted.
        UntrustedConfigError: the config names something that could run code.
        CheckpointError: the weights do not fit.
    """
    folder = Path(folder)
    path = file_in(folder, CONFIG_FILE) if folder.is_dir() else folder / CONFIG_FILE
    description = read_model_description(path)
    expected = check_weights_entry(description, folder)
    import_plugins(description, folder, allow_code)
    check_saved_block(description.model, folder, allow_code)
    check_assets(folder, description.assets)
    _warn_of_versions(description, folder)
    block = tuples(with_paths(description.model, folder, description.assets))
    config = Config({"model": copy.deepcopy(block)})
    override(config, dict(overrides or {}))
    weights = _checked_weights(folder, expected)
    if problem := misfit_on_meta(config.model.to_dict(), weights):
        raise SavedModelError(
            f"The config in {folder} does not fit its weights: {problem}. Use an unedited copy"
        )
    with weights_come_later():
        model = build_model(config.model)
    load_weights(model, weights)
    set_statistics(model, description.preprocessing.get("statistics"), str(folder))
    return LoadedModel(model.to(device).eval(), config, description)


def misfit_on_meta(block: Mapping[str, Any], weights: Path) -> str:
    """Difference between a block, built without memory, and a weights file; empty if they fit.

    Args:
        block: ``model`` block.
        weights: safetensors file, of which the header is read.
    """
    try:
        with safe_open(weights, framework="pt", device="cpu") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}
    except (OSError, SafetensorError, ValueError) as error:
        return f"{weights.name} is truncated or not a safetensors file ({error})"
    try:
        with _bounded_building(_MODULES + _MODULES_PER_TENSOR * len(shapes)):
            model = build_on_meta(block)
    except Exception as error:  # a component may raise anything for odd options
        text = str(error.args[0]) if error.args else type(error).__name__
        return f"it cannot be built, because {one_line(text)[:400].rstrip('.')}"
    own = {name: tensor.to("meta") for name, tensor in model.state_dict().items()}
    found = {
        name: torch.empty(shape, dtype=own[name].dtype if name in own else None, device="meta")
        for name, shape in shapes.items()
    }
    return misfit_of(own, found)


def _checked_weights(folder: Path, expected: str) -> Path:
    path = file_in(folder, WEIGHTS_FILE)
    found = file_sha256(path)
    if found != expected:
        raise SavedModelError(
            f"{path} has the SHA-256 {found[:12]}..., but {CONFIG_FILE} says {expected[:12]}.... "
            f"The file is damaged or belongs to another model. Copy the folder again"
        )
    return path


def _warn_of_versions(description: ModelDescription, folder: Path) -> None:
    installed = {plugin.name: plugin for plugin in find_plugins()}
    for needed in description.plugins:
        plugin = installed.get(str(needed.get("name")))
        if plugin is not None and plugin.version != needed.get("version"):
            warnings.warn(
                f"{folder} was saved with version {excerpt(needed.get('version'))} of the plugin "
                f"{plugin.name}, but version {plugin.version} is installed. Results may differ",
                stacklevel=2,
            )


@contextmanager
def _bounded_building(most: int) -> Iterator[None]:
    """Context in which a model with too many modules is refused while it is built.

    A config can ask for a billion layers, which the weights file does not have.
    """
    count = 0

    def counted(module: nn.Module, name: str, submodule: nn.Module) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise SavedModelError(f"it has more than {most:,} modules, far more than its weights")

    handle = register_module_module_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()

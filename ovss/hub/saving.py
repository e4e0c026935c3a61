"""Writes the folder of a model: as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss.io.files import write_text
from ovss.io.folders import ensure_replaceable, replaced_folder
from ovss.io.json_text import json_text
from ovss.io.weight_files import converted, file_sha256, write_weights
from ovss.models.configs import plugin_modules
from ovss.models.plugins import find_plugins
from ovss.segmentor import OpenVocabSegmentor
from ovss.vocabularies import load_templates

from .assets import asset_hashes, copy_assets, with_paths
from .card import model_card
from .loading import misfit_on_meta
from .options import plain_values, tuples
from .records import (
    ASSETS,
    CARD,
    CONFIG_FILE,
    WEIGHTS_FILE,
    ModelDescription,
    ModelFacts,
    SavedModelError,
)
from .statistics import pixel_statistics
from .trust import check_saved_block, foreign_modules

__all__ = ["check_target", "save_model"]

_ONLY_TRAINING = ("data_preprocessor", "init_cfg")


def save_model(
    folder: str | Path,
    model: OpenVocabSegmentor,
    config: Config,
    *,
    name: str,
    note: str = "",
    facts: ModelFacts | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> ModelDescription:
    """Writes a model as a folder that needs no other file.

    Args:
        folder: folder to create.
        model: model to save.
        config: config that it was built from.
        name: name of the method.
        note: caveat on the weights.
        facts: facts for the model card.
        half: True to write floating-point weights as float16, half of the size. Results may change
            by rounding.
        overwrite: True to replace a folder that holds a model.

    Returns:
        What was written to ``config.json``.

    Raises:
        FileExistsError: the folder exists and may not be replaced.
        SavedModelError: the config holds values that cannot be saved, or the model cannot be
            rebuilt from them.
        CheckpointError: weights that float16 cannot hold, or a file that cannot be written.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    with replaced_folder(folder, partial(check_target, folder, overwrite)) as place:
        block = copy_assets(_resolved(model, config), place)
        check_saved_block(block, folder, allow_code=True)
        path = place / WEIGHTS_FILE
        tensors = {key: value.detach().cpu() for key, value in model.state_dict().items()}
        if half:
            tensors = converted(tensors, torch.float16, folder)
        write_weights(tensors, path, {"method": name})
        assets = asset_hashes(place)
        if problem := misfit_on_meta(tuples(with_paths(block, place, assets)), path):
            raise SavedModelError(
                f"The model cannot be saved, because its config does not rebuild it: {problem}. "
                f"Name its architecture in the config, not only a folder with it"
            )
        modules = tuple(plugin_modules(config, name))
        description = ModelDescription(
            name=name,
            ovss_version=_version(),
            model=block,
            modules=modules,
            plugins=_plugins(modules),
            weights={
                "file": WEIGHTS_FILE,
                "sha256": file_sha256(path),
                "tensors": len(tensors),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "half": half,
            },
            preprocessing={
                "color": "RGB",
                "range": [0, 255],
                "statistics": pixel_statistics(model),
            },
            assets=assets,
            note=note,
            facts=facts or ModelFacts(),
        )
        write_text(place / CONFIG_FILE, json_text(description.as_json()))
        write_text(place / CARD, model_card(description, foreign_modules(modules)))
    return description


def check_target(folder: Path, overwrite: bool) -> None:
    """Checks that a model can be written to a folder; call it before long work.

    Raises:
        FileExistsError: the folder exists and may not be replaced, or holds something else.
    """
    entries = (CONFIG_FILE, WEIGHTS_FILE, CARD, ASSETS)
    ensure_replaceable(folder, "a model", CONFIG_FILE, entries, overwrite)


def _resolved(model: OpenVocabSegmentor, config: Config) -> dict[str, Any]:
    """``model`` block with templates and inference settings spelt out."""
    given: Mapping[str, Any] = config.model.to_dict()
    block = {key: value for key, value in given.items() if key not in _ONLY_TRAINING}
    block.setdefault("type", type(model).__name__)
    block["prompts"] = {
        "templates": list(load_templates(model.prompts.templates)),
        "synonyms": model.prompts.synonyms,
    }
    block["inference"] = asdict(model.inference)
    values: dict[str, Any] = plain_values(block)
    return values


def _plugins(modules: tuple[str, ...]) -> tuple[dict[str, str], ...]:
    """Installed plugins that have the modules of a config."""
    return tuple(
        {"name": p.name, "distribution": p.distribution, "version": p.version}
        for p in find_plugins()
        if any(f"{name}.".startswith(f"{p.module}.") for name in modules)
    )


def _version() -> str:
    """Version of this package, which stands above this floor."""
    try:
        return version("ovss")
    except PackageNotFoundError:
        return "unknown"

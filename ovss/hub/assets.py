"""Files that a model reads after it is built: copied into its folder, and found there again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovss.encoders.architecture import read_model_config
from ovss.encoders.weights import find_pretrained
from ovss.io.excerpts import excerpt
from ovss.io.weight_files import file_sha256, read_weights, write_weights

from .options import carried_options, external_blocks
from .places import file_in
from .records import ASSETS, SavedModelError

__all__ = ["asset_hashes", "check_assets", "copy_assets", "with_paths"]

_PREFIX = f"{ASSETS}/"
_DATA = (".json", ".safetensors", ".txt", ".vec", ".csv", ".npy")
"""Files that are copied. Pickles and code stay behind."""

_ARCHITECTURES = (".json",)


def copy_assets(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Copies the files that a ``model`` block names into ``folder/assets``.

    Other options that name files become None, because the saved weights replace what they hold.

    Args:
        model: resolved block, plain values only; it is changed.
        folder: folder of the model.

    Returns:
        The block, which names the copies.

    Raises:
        SavedModelError: a file that does not exist or is of a kind that may run code.
        CheckpointError: pre-trained weights that cannot be read.
    """
    carried = [(id(holder), key) for holder, key in carried_options(model)]
    for holder, key in list(carried_options(model)):
        holder[key] = _copied(holder, key, folder)
    for holder, key, _ in list(external_blocks(model)):
        if (id(holder), key) not in carried:
            holder[key] = None
    _copy_architectures(model, folder)
    return model


def _copied(holder: dict[str, Any], key: str, folder: Path) -> Any:
    value = holder[key]
    if key == "pretrained":
        return _copy_weights(holder, str(value), folder)
    if isinstance(value, (list, tuple)):
        return [_copy(str(item), folder) for item in value]
    return _copy(str(value), folder)


def _copy_weights(holder: Mapping[str, Any], pretrained: str, folder: Path) -> str:
    path: Path | None = Path(pretrained)
    if not Path(pretrained).is_file():
        name = str(holder.get("model"))
        path = find_pretrained(name, read_model_config(name), pretrained)
    assert path is not None
    tensors, _ = read_weights(path)
    target = _free(folder, f"{path.stem}.safetensors")
    write_weights(tensors, target, source=path)
    return _named(target, folder)


def _copy(value: str, folder: Path) -> str:
    """Copies a file or a folder of files; a text that names neither is returned as it is."""
    source = Path(value)
    if source.is_file():
        _check_kind(source)
        return _named(shutil.copyfile(source, _free(folder, source.name)), folder)
    files = sorted(path for path in source.rglob("*") if path.suffix in _DATA and path.is_file())
    if not source.is_dir() or not files:
        if source.is_absolute() or len(source.parts) > 1:
            raise SavedModelError(
                f"The model cannot be saved, because it reads {excerpt(value)}, which does not "
                f"exist or holds no data. Correct the option in its config"
            )
        return value
    target = _free(folder, source.name)
    for path in files:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return _named(target, folder)


def _copy_architectures(value: Any, folder: Path) -> None:
    """Copies the JSON files of architectures that options called ``model`` name."""
    if isinstance(value, dict):
        name = value.get("model")
        if isinstance(name, str) and name.endswith(_ARCHITECTURES) and Path(name).is_file():
            value["model"] = _copy(name, folder)
        for item in value.values():
            _copy_architectures(item, folder)
    elif isinstance(value, list):
        for item in value:
            _copy_architectures(item, folder)


def _check_kind(path: Path) -> None:
    if path.suffix not in _DATA:
        raise SavedModelError(
            f"The model cannot be saved, because it reads {path}, and a folder of a model holds "
            f"{', '.join(_DATA)} files only. Convert the file"
        )


def _free(folder: Path, name: str) -> Path:
    """Path in the assets that nothing has yet."""
    assets = folder / ASSETS
    assets.mkdir(exist_ok=True)
    stem, suffix = os.path.splitext(name)
    paths = (assets / (f"{stem}_{n}{suffix}" if n else name) for n in range(10_000))
    return next(path for path in paths if not path.exists())


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def asset_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in ``folder/assets``, by path in the folder."""
    files = sorted(path for path in (folder / ASSETS).rglob("*") if path.is_file())
    return {_named(path, folder): file_sha256(path) for path in files}


def check_assets(folder: Path, hashes: Mapping[str, str]) -> None:
    """Checks that the files of a folder are those that its description names.

    Raises:
        SavedModelError: a file is missing, has other content, or lies outside of the folder.
    """
    for name, expected in hashes.items():
        path = file_in(folder, name)
        if not name.startswith(_PREFIX) or path.suffix not in _DATA:
            raise SavedModelError(
                f"{folder} names the file {excerpt(name)}, but only data in {ASSETS} is read. Use "
                f"an unedited copy"
            )
        if file_sha256(path) != expected:
            raise SavedModelError(
                f"{path} has another SHA-256 than config.json says. Copy the folder again"
            )


def with_paths(value: Any, folder: Path, hashes: Mapping[str, str]) -> Any:
    """Copy of a ``model`` block in which names of assets are paths.

    Args:
        value: block, or a value in it.
        folder: folder of the model.
        hashes: files of the folder that were checked.

    Raises:
        SavedModelError: a name of an asset that the description does not list.
    """
    if isinstance(value, Mapping):
        return {key: with_paths(item, folder, hashes) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(with_paths(item, folder, hashes) for item in value)
    if not (isinstance(value, str) and value.startswith(_PREFIX)):
        return value
    if value not in hashes and not any(name.startswith(f"{value}/") for name in hashes):
        raise SavedModelError(
            f"The config in {folder} names {excerpt(value)}, which it does not list under "
            f"'assets'. Use an unedited copy"
        )
    return str(folder / value)

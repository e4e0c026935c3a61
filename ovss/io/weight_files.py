"""Weight files: read without executing code from them, written atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .checkpoint_error import CheckpointError
from .excerpts import shortened, some_of
from .files import write_atomic
from .finite import not_finite, not_finite_text
from .plain_pickle import load_plain, refused_name
from .safetensors_writer import check_storable, write_safetensors
from .state_dicts import type_name, unwrap_state_dict, without_wrappers
from .torchscript import read_torchscript
from .weight_formats import SAFETENSORS, TORCHSCRIPT, weight_format

__all__ = [
    "CheckpointError",
    "check_finite_weights",
    "converted",
    "file_sha256",
    "read_notes",
    "read_weights",
    "some_of",
    "write_weights",
]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_weights(
    tensors: Mapping[str, Tensor],
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    source: str | Path | None = None,
) -> None:
    """Writes tensors and string metadata atomically to a safetensors file.

    The same tensors and metadata give the same bytes.

    Args:
        tensors: tensors by name.
        path: file to write.
        metadata: strings by name.
        source: file that the tensors come from, for messages; None: `path` is named.

    Raises:
        CheckpointError: a tensor has a number type that the format does not have, the file name
            does not end in ``.safetensors``, the folder cannot be
            written, or the disk is full. A partial file is never left behind.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path}: expected a file name ending in .safetensors. Choose such a name."
        )
    notes = {"format": "pt", **(metadata or {})}
    try:
        check_storable(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{source or path}: {error}") from None
    try:
        write_atomic(path, lambda file: write_safetensors(file, tensors, notes))
    except OSError as error:
        raise CheckpointError(
            f"{path}: weights could not be written ({error}), and nothing was changed. Check the "
            f"permissions of the folder and the free disk space."
        ) from error


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads tensors (on the CPU) and metadata of a weights file without executing code from it.

    The format is recognised by the content: safetensors, files of `torch.save`, or TorchScript
    archives. Dicts that training tools wrap weights in are removed, and so are the name parts of
    distributed training and `torch.compile`, see `ovss.io.state_dicts`.

    Raises:
        CheckpointError: the file does not exist, is truncated, is something else, contains more
            than tensors and numbers, or holds values that are NaN or infinite.
    """
    path = Path(path)
    kind = weight_format(path)
    if kind == SAFETENSORS:
        tensors, notes = _read_safetensors(path)
    else:
        tensors, notes = unwrap_state_dict(_read_pickled(path, kind), path), {}
    tensors = without_wrappers(tensors)
    _check_dense(tensors, path)
    check_finite_weights(tensors, path)
    return tensors, notes


def _check_dense(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Rejects tensors without values of their own, which no model can load."""
    for name, value in tensors.items():
        kind = "has no values" if value.is_meta else "is quantised" if value.is_quantized else ""
        if kind or value.layout != torch.strided:
            raise CheckpointError(
                f"{path}: {shortened(name)} {kind or 'is a sparse tensor'}, but weights must be "
                f"plain tensors. Save the state dict of a model on a device, in a float type"
            )


def check_finite_weights(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Rejects weights with values that are NaN or infinite.

    Args:
        tensors: tensors by name.
        path: file that they come from, for messages.

    Raises:
        CheckpointError: there are such values; the message counts them and names the tensors.
    """
    broken = not_finite(tensors)
    if broken:
        raise CheckpointError(
            f"{path} has {not_finite_text(tensors, broken)}. A training that diverged writes such "
            f"weights, and a damaged copy may contain them. Use an earlier checkpoint of the "
            f"training, or copy the file again"
        )


def converted(
    tensors: Mapping[str, Tensor], dtype: torch.dtype, path: str | Path
) -> dict[str, Tensor]:
    """Converts floating-point tensors to another type; the others stay.

    Args:
        tensors: tensors by name.
        dtype: floating-point type.
        path: file that they come from or go to, for messages.

    Raises:
        CheckpointError: a value is too large for the type, which would make it infinite.
    """
    result = {}
    for name, value in tensors.items():
        result[name] = value.to(dtype) if value.is_floating_point() else value
        if result[name].dtype != value.dtype and not_finite({name: result[name]}):
            largest = float(value[value.isfinite()].abs().max())
            raise CheckpointError(
                f"{path}: {shortened(name)} has values up to {largest:g}, which {type_name(dtype)} "
                f"cannot hold (at most {torch.finfo(dtype).max:g}). Keep these weights in float32"
            )
    return result


def read_notes(path: str | Path) -> dict[str, str]:
    """Reads the metadata of a safetensors file without its tensors.

    Raises:
        CheckpointError: the file is truncated or is not a safetensors file.
    """
    return _read_safetensors(Path(path), tensors=False)[1]


def has_notes(path: str | Path) -> bool:
    """True if a weights file is of the format that holds metadata.

    Raises:
        CheckpointError: the file holds no weights, see `weight_format`.
    """
    return weight_format(path) == SAFETENSORS


def _read_safetensors(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys()) if tensors else []
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a safetensors file "
            f"({error}). Download or export it again."
        ) from error


def _read_pickled(path: Path, kind: str) -> Any:
    try:
        if kind == TORCHSCRIPT:
            return read_torchscript(path)
        return load_plain(path)
    except Exception as error:  # torch raises many kinds for a broken file
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated, or it contains more than "
            f"tensors and numbers, which is not read for safety ({refused_name(error)}). "
            f"Download it again, or save only its state dict."
        ) from error

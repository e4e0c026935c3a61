"""Weight files: read without executing code from them, written atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .files import write_atomic
from .torchscript import is_torchscript, read_torchscript

__all__ = [
    "CheckpointError",
    "file_sha256",
    "read_notes",
    "read_weights",
    "some_of",
    "write_weights",
]

_MAX_LISTED = 5


class CheckpointError(RuntimeError):
    """A weights file that cannot be read, or that does not fit the model."""


def file_sha256(path: str | Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_weights(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes tensors and string metadata atomically to a safetensors file.

    Raises:
        CheckpointError: the file name does not end in ``.safetensors``, the folder cannot be
            written, or the disk is full. A partial file is never left behind.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path}: expected a file name ending in .safetensors. Choose such a name."
        )
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    notes = {"format": "pt", **(metadata or {})}
    try:
        write_atomic(path, lambda file: save_file(plain, file.name, notes))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: weights could not be written ({error}), and nothing was changed. Check the "
            f"permissions of the folder and the free disk space."
        ) from error


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads tensors (on the CPU) and metadata of a weights file without executing code from it.

    The ``state_dict`` and ``model`` entries that training tools wrap weights in are removed, and
    so is the ``module.`` prefix of distributed training. TorchScript archives are supported.

    Raises:
        CheckpointError: the file does not exist, is truncated, or contains more than tensors and
            numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _unwrap(_read_pickled(path), path), {}


def read_notes(path: str | Path) -> dict[str, str]:
    """Reads the metadata of a safetensors file without its tensors.

    Raises:
        CheckpointError: the file is truncated or is not a safetensors file.
    """
    return _read_safetensors(Path(path), tensors=False)[1]


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


def _read_pickled(path: Path) -> Any:
    try:
        if is_torchscript(path):
            return read_torchscript(path)
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated, or it contains more than "
            f"tensors and numbers, which is not read for safety ({reason}). Download it again, or "
            f"save only its state dict."
        ) from error


def _harmless() -> list[Any]:
    """Classes of the log in mmengine checkpoints; they hold numbers only and are safe to load."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    core: Any = np._core if hasattr(np, "_core") else np.core
    multiarray = core.multiarray
    kinds = {type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "uint32")}

    # The log's pickle calls `getattr` to name its statistics; this version serves those only.
    def statistic(owner: type, name: str) -> Any:
        if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
            raise ValueError(f"Unsupported attribute {name!r} of {owner!r}")
        return getattr(owner, name)

    arrays = [multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype, *kinds]
    return [HistoryBuffer, (statistic, "builtins.getattr"), *arrays]


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path}: expected a state dict, found {type(content).__name__}. Save the model's "
            f"state dict to a file of its own."
        )
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    other = [str(name) for name in content if name not in tensors]
    if other:
        raise CheckpointError(
            f"{path}: expected tensors only, but these entries are not: {some_of(other)}"
        )
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def some_of(names: list[str]) -> str:
    """Text that lists the first few names and counts the rest."""
    rest = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")

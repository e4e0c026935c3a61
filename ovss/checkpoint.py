"""Weights on disk: safe to read, written in one go, and clear about what does not fit.

Files are ``.safetensors``; PyTorch's ``.pt`` and ``.pth`` (bare state dicts, or what a training run
leaves) are read too, tensors and numbers only: no code of a file is ever executed.

A *partial* file holds what training changed (trainable parameters, all buffers) and leaves out the
frozen rest, which comes from the encoder's own pre-trained file. It carries a fingerprint of that
rest, so that it never silently meets another base than the one it was trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = [
    "CheckpointError",
    "file_sha256",
    "load_weights",
    "read_weights",
    "save_weights",
    "write_weights",
]

_PARTIAL = "partial_expects"
_FINGERPRINT = "partial_fingerprint"
_SHOWN = 5


class CheckpointError(RuntimeError):
    """A weights file that cannot be read, or does not belong to the model it was given to."""


# -- files -----------------------------------------------------------------------------------------


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_weights(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and string metadata as safetensors, whole or not at all.

    Raises:
        CheckpointError: the folder cannot be written, or the disk is full; no partial file stays.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: weights are written as .safetensors, choose such a name")
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        save_file(plain, temporary, {"format": "pt", **(metadata or {})})
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: weights could not be written ({error}); check the folder's permissions and "
            f"the free space, nothing was changed"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a weights file, on the CPU.

    Wrappers of training tools (``state_dict``, ``model``) are taken off, as is the ``module.``
    prefix of distributed training.

    Raises:
        CheckpointError: no such file, truncated, or holding more than tensors and numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _unwrap(_read_pickled(path), path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or no safetensors file "
            f"({error}); fetch or write it again"
        ) from error


def _read_pickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated, or holds more than tensors and "
            f"numbers, which is not read for safety ({reason}); fetch it again, or save its state "
            f"dict alone"
        ) from error


def _harmless() -> list[Any]:
    """Classes in the log that mmengine keeps in its checkpoints; all of them only hold numbers."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray
    kinds = {type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64", "uint32")}

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
        raise CheckpointError(f"{path}: holds no state dict but a {type(content).__name__}")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    other = [str(name) for name in content if name not in tensors]
    if other:
        raise CheckpointError(f"{path}: entries that are no tensors: {_some(other)}")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


# -- models ----------------------------------------------------------------------------------------


def save_weights(
    model: nn.Module,
    path: str | Path,
    *,
    only_trainable: bool = False,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model's weights.

    Args:
        model: its ``requires_grad`` flags decide what trains.
        path: a ``.safetensors`` file, replaced whole or not at all.
        only_trainable: leave out frozen parameters; `load_weights` then demands a model whose
            frozen parameters have the same values.
        metadata: strings kept in the file: ``method``, ``config`` and, for a partial file, ``base``
            (the file that the frozen rest comes from) are shown in error messages.
        dtype: floating-point type in the file (``torch.float16`` halves it); None keeps each.
    """
    tensors = model.state_dict()
    notes = dict(metadata or {})
    if only_trainable:
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        expects = sorted(frozen & tensors.keys())
        notes[_PARTIAL] = json.dumps(expects)
        notes[_FINGERPRINT] = _fingerprint(tensors, expects)
        tensors = {name: t for name, t in tensors.items() if name not in frozen}
    if dtype is not None:
        tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    write_weights(tensors, path, notes)


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Load a weights file into a model, all or nothing.

    Returns:
        the file's metadata; empty for ``.pt`` and ``.pth`` files.

    Raises:
        CheckpointError: unreadable, of another method or size (the first missing, unexpected and
            mis-shaped names are listed), or partial and trained on another base.
    """
    tensors, metadata = read_weights(path)
    own = model.state_dict()
    expects = json.loads(metadata.get(_PARTIAL, "[]"))
    _check_fit(own, tensors, set(expects), path, metadata)
    if _FINGERPRINT in metadata and _fingerprint(own, expects) != metadata[_FINGERPRINT]:
        base = metadata.get("base", "the encoder's own pre-trained file")
        raise CheckpointError(
            f"{path} holds only what was trained; the frozen rest must come from {base}, but the "
            f"model's frozen parameters have other values. Build the model with that pre-trained "
            f"file (`pretrained=` of its encoder) before loading"
        )
    model.load_state_dict({**own, **tensors})
    return metadata


def _check_fit(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    expects: set[str],
    path: str | Path,
    metadata: Mapping[str, str],
) -> None:
    missing = [name for name in own if name not in tensors and name not in expects]
    missing += [name for name in expects if name not in own]
    unexpected = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} in the model"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if not (missing or unexpected or shapes):
        return
    origin = ", ".join(f"{key} {metadata[key]}" for key in ("method", "config") if key in metadata)
    parts = [
        f"{len(names)} {word}: {_some(names)}"
        for word, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    raise CheckpointError(
        f"{path}{f' ({origin})' if origin else ''} does not fit the model: {'; '.join(parts)}. "
        f"Use the config that the weights were trained with; a checkpoint of a method's own "
        f"authors has to be converted first (tools/convert_checkpoint.py)"
    )


def _fingerprint(tensors: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """SHA-256 over names, shapes and float32 values."""
    digest = hashlib.sha256()
    for name in names:
        value = tensors[name].detach().cpu().float().contiguous()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(memoryview(value.flatten().numpy()).cast("B"))
    return digest.hexdigest()


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")

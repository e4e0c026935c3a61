"""Weights of a model: saved whole or in part, loaded all or nothing.

Files are written as ``.safetensors``. PyTorch's own files (bare state dicts and checkpoints of
training runs) are read too, tensors and numbers only, so no code of a file is ever executed. The
content of a file decides on its format, not its name.

A *partial* file holds what training changed (trainable parameters and all buffers). The frozen
rest comes from the encoder's pre-trained file. A fingerprint of that rest is stored, so that the
file never silently meets another base than the one it was trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ovss.io.excerpts import shortened
from ovss.io.state_dicts import fit_names, wrong_types
from ovss.io.weight_files import (
    CheckpointError,
    converted,
    file_sha256,
    has_notes,
    read_notes,
    read_weights,
    some_of,
    write_weights,
)

__all__ = [
    "CheckpointError",
    "converted",
    "file_sha256",
    "is_whole",
    "load_weights",
    "misfit_of",
    "read_weights",
    "save_weights",
    "write_weights",
]

_PARTIAL = "partial_expects"
_FINGERPRINT = "partial_fingerprint"
_HALF = (torch.float16, torch.bfloat16)


def save_weights(
    model: nn.Module,
    path: str | Path,
    *,
    only_trainable: bool = False,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model's weights.

    Args:
        model: model; its ``requires_grad`` flags mark the trainable parameters.
        path: ``.safetensors`` file, replaced whole or not at all.
        only_trainable: leaves out frozen parameters; `load_weights` then demands a model whose
            frozen parameters have the same values.
        metadata: strings kept in the file. Error messages show ``method``, ``config`` and, for a
            partial file, ``base`` (the file with the frozen rest).
        dtype: floating-point type in the file (``torch.float16`` halves it); None keeps each.

    Raises:
        CheckpointError: the file cannot be written, or a value is too large for `dtype`.
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
        tensors = converted(tensors, dtype, path)
    write_weights(tensors, path, notes)


def load_weights(model: nn.Module, path: str | Path) -> dict[str, str]:
    """Loads a weights file into a model, all or nothing.

    Prefixes of wrappers such as Lightning's ``model.`` are removed if the names then fit the model.

    Returns:
        Metadata of the file; empty for files of `torch.save`.

    Raises:
        CheckpointError: the file is unreadable, has values that are NaN or infinite, belongs to
            another method or size (the first missing, unexpected and mis-shaped names are listed),
            holds integers in place of floats, is partial and was trained on another base, or says
            in a contradictory way that it is partial.
    """
    tensors, metadata = read_weights(path)
    own = model.state_dict()
    tensors = fit_names(tensors, own)
    expects = _expected_names(metadata, own, tensors, path)
    _check_fit(own, tensors, set(expects), path, metadata)
    if _FINGERPRINT in metadata and _fingerprint(own, expects) != metadata[_FINGERPRINT]:
        base = metadata.get("base", "the encoder's own pre-trained file")
        raise CheckpointError(
            f"{path} holds trained parameters only. The frozen rest must come from {base}, but the "
            f"model's frozen parameters have other values. Build the model with that pre-trained "
            f"file (`pretrained=` of its encoder) before loading"
        )
    for name, value in tensors.items():
        if value.is_floating_point() and own[name].dtype in _HALF:
            converted({name: value}, own[name].dtype, path)
    model.load_state_dict({**own, **tensors})
    return metadata


def is_whole(path: str | Path) -> bool:
    """Tells a whole weights file from a partial one, which needs the encoder's pre-trained file."""
    return not has_notes(path) or _PARTIAL not in read_notes(path)


def _expected_names(
    metadata: Mapping[str, str],
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    path: str | Path,
) -> list[str]:
    """Names of the frozen parameters that a partial file leaves out; empty for a whole file."""
    if (_PARTIAL in metadata) != (_FINGERPRINT in metadata):
        has, lacks = sorted((_PARTIAL, _FINGERPRINT), key=lambda key: key not in metadata)
        raise CheckpointError(
            f"{path} says that it holds trained parameters only ({has}), but lacks {lacks}, which "
            f"tells their base. Use an unedited copy"
        )
    try:
        expects = json.loads(metadata.get(_PARTIAL, "[]"))
    except (ValueError, RecursionError):
        expects = None
    if not isinstance(expects, list) or not all(isinstance(name, str) for name in expects):
        raise CheckpointError(
            f"{path}: {_PARTIAL} must be a JSON list of names, but is "
            f"{metadata[_PARTIAL][:60]!r}. Use an unedited copy"
        )
    twice = [name for name in expects if name in tensors]
    if twice or (own and own.keys() <= set(expects)):
        problem = f"but holds {some_of(twice)}" if twice else "which are all that the model has"
        raise CheckpointError(
            f"{path} says that it leaves out {len(expects)} parameters, {problem}. Use an "
            f"unedited copy"
        )
    return expects


def _check_fit(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    expects: set[str],
    path: str | Path,
    metadata: Mapping[str, str],
) -> None:
    problem = misfit_of(own, tensors, expects)
    if not problem:
        return
    origin = ", ".join(f"{key} {metadata[key]}" for key in ("method", "config") if key in metadata)
    raise CheckpointError(
        f"{path}{f' ({shortened(origin)})' if origin else ''} does not fit the model: {problem}. "
        f"Use the config that the weights were trained with, or convert a checkpoint of the "
        f"method's authors with `ovss convert`"
    )


def misfit_of(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], expects: Collection[str] = ()
) -> str:
    """Part of a sentence that says how weights do not fit a model; empty if they fit.

    Args:
        own: tensors of the model by name.
        tensors: tensors to load.
        expects: names that `tensors` may lack.
    """
    missing = [name for name in own if name not in tensors and name not in expects]
    missing += [name for name in expects if name not in own]
    unexpected = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} in the model"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    types = wrong_types(tensors, own)
    parts = [
        f"{len(names)} {word}: {some_of(names)}"
        for word, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
            ("of another number type", types),
        )
        if names
    ]
    return "; ".join(parts)


def _fingerprint(tensors: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """SHA-256 over names, shapes and float32 values."""
    digest = hashlib.sha256()
    for name in names:
        value = tensors[name].detach().cpu().float().contiguous()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()

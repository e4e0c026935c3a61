"""Checkpoints of a method's own authors into ours. What is special lies in the method's plugin.

A plugin that can convert has a module ``convert`` with a function ``convert(tensors)`` that takes
the published state dict and gives a `Conversion`. It maps every name, names what it drops and why,
and raises on a name that it does not know or misses.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import CheckpointError, file_sha256, read_weights, write_weights

_PLUGINS = "ovss_plugins"
CLIP = "clip"
"""What `convert_file` calls a checkpoint of open_clip's or OpenAI's own."""


@dataclass(frozen=True)
class Conversion:
    """What became of a published state dict.

    Args:
        tensors: our names, as in the segmentor's state dict.
        source: our name -> the published name it came from.
        dropped: published name -> why it is not needed.
    """

    tensors: dict[str, Tensor]
    source: dict[str, str]
    dropped: dict[str, str]


def rename(
    tensors: Mapping[str, Tensor], table: Mapping[str, str], drops: Mapping[str, str] | None = None
) -> Conversion:
    """Map published names by a table that knows them all.

    Args:
        tensors: published names and values; half precision becomes float32.
        table: published name -> our name, for every name that must be there.
        drops: published name -> why it is not needed; they may be absent.

    Raises:
        CheckpointError: names that neither table knows, or names that are missing.
    """
    drops = drops or {}
    unknown = [name for name in tensors if name not in table and name not in drops]
    missing = [name for name in table if name not in tensors]
    if unknown or missing:
        raise CheckpointError(
            "; ".join(
                f"{len(names)} names {word}: {', '.join(names[:5])}{' ...' if names[5:] else ''}"
                for word, names in (("not known", unknown), ("missing", missing))
                if names
            )
        )
    kept = {ours: tensors[name] for name, ours in table.items()}
    return Conversion(
        {n: t.float() if t.is_floating_point() else t for n, t in kept.items()},
        {ours: name for name, ours in table.items()},
        {name: why for name, why in drops.items() if name in tensors},
    )


def convertible() -> list[str]:
    """Methods that have a converter; none is imported."""
    package = importlib.import_module(_PLUGINS)
    files = [file for folder in package.__path__ for file in Path(folder).glob("*/convert.py")]
    return sorted(file.parent.name for file in files)


def convert_file(
    method: str, source: str | Path, target: str | Path, model: str | None = None
) -> Conversion:
    """Convert a published checkpoint file into a ``.safetensors`` file of ours.

    Args:
        method: name of the plugin, e.g. ``cat_seg``; or ``clip``.
        source: the published file; tensors only are read from it.
        target: replaced whole or not at all. Its metadata say method and source (name, SHA-256).
        model: the architecture of a ``clip``, as open_clip names it (``ViT-B-16-quickgelu``).

    Raises:
        CheckpointError: unknown method, unreadable file, unknown or missing names.
        ValueError: a ``clip`` without a known architecture.
    """
    known = convertible()
    if method not in (*known, CLIP):
        there_are = ", ".join((*known, CLIP))
        raise CheckpointError(f"no converter for {method!r}; there are: {there_are}")
    if (method == CLIP) != (model is not None):
        raise ValueError(
            f"model names the architecture of a {CLIP!r}, as open_clip does "
            f"(ViT-B-16-quickgelu): needed there, and nowhere else"
        )
    tensors, _ = read_weights(source)
    if model is not None:
        conversion = convert_clip(tensors, model, source)
    else:
        module = importlib.import_module(f"{_PLUGINS}.{method}.convert")
        try:
            conversion = module.convert(tensors)
        except CheckpointError as error:
            raise CheckpointError(
                f"{source} is no {method} checkpoint that we know: {error}"
            ) from None
    metadata = {
        "method": method,
        **({"model": model} if model else {}),
        "source": Path(source).name,
        "source_sha256": file_sha256(source),
    }
    write_weights(conversion.tensors, target, metadata)
    return conversion


def convert_clip(tensors: Mapping[str, Tensor], model: str, source: str | Path) -> Conversion:
    """A CLIP as published, checked against its architecture; names and precision stay, so that
    open_clip reads the file too.

    Raises:
        CheckpointError: of another architecture. ValueError: an architecture nobody knows.
    """
    from ovss.encoders.architecture import build_clip, read_model_config
    from ovss.encoders.weights import NOT_WEIGHTS, fitted

    with torch.device("meta"):
        clip = build_clip(read_model_config(model))
    try:
        fitted(dict(tensors), clip, model, source)
    except RuntimeError as error:
        raise CheckpointError(str(error)) from None
    kept = {name: value for name, value in tensors.items() if name not in NOT_WEIGHTS}
    dropped = {name: "the architecture says it" for name in tensors if name not in kept}
    return Conversion(kept, {name: name for name in kept}, dropped)

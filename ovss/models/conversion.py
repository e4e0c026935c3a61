"""Converts checkpoints published by a method's authors.

The converter of a method belongs to its plugin: a module ``convert`` with a function
``convert(tensors)`` that takes the published state dict and returns a `Conversion`. It maps every
name, lists the names that it drops with the reasons, and raises an error if a name is unknown or
missing. Any installed plugin may have a converter.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ovss.io.excerpts import excerpt, some_of
from ovss.io.shapes_only import shapes_only
from ovss.io.state_dicts import fit_names

from .checkpoint import CheckpointError, file_sha256, read_weights, write_weights
from .plugins import PluginError, find_submodules

CLIP = "clip"
"""Method name for a CLIP checkpoint published by OpenAI or open_clip."""


@dataclass(frozen=True)
class Conversion:
    """Published state dict under our names.

    Args:
        tensors: our name, as in the segmentor's state dict -> value.
        source: our name -> published name.
        dropped: published name -> reason for dropping it.
    """

    tensors: dict[str, Tensor]
    source: dict[str, str]
    dropped: dict[str, str]


def rename(
    tensors: Mapping[str, Tensor], table: Mapping[str, str], drops: Mapping[str, str] | None = None
) -> Conversion:
    """Renames the tensors of a published state dict.

    Args:
        tensors: published name -> value; half precision becomes float32.
        table: published name -> our name, for every required name.
        drops: published name -> reason, for optional names to drop.

    Raises:
        CheckpointError: names that are in neither table, or required names that are missing.
    """
    drops = drops or {}
    unknown = [name for name in tensors if name not in table and name not in drops]
    missing = [name for name in table if name not in tensors]
    if unknown or missing:
        raise CheckpointError(
            "; ".join(
                f"{len(names)} names {state}: {some_of(names)}"
                for state, names in (("not known", unknown), ("missing", missing))
                if names
            )
        )
    kept = {ours: tensors[name] for name, ours in table.items()}
    return Conversion(
        {n: t.float() if t.is_floating_point() else t for n, t in kept.items()},
        {ours: name for name, ours in table.items()},
        {name: why for name, why in drops.items() if name in tensors},
    )


def split_projections(conversion: Conversion, modules: Sequence[str] = ("attn",)) -> None:
    """Splits fused projections into query, key and value, in place.

    Args:
        conversion: renamed tensors.
        modules: last parts of the names of the modules whose projections are split.
    """
    ends = tuple(f".{module}.in_proj_weight" for module in modules)
    for ours in [name for name in conversion.tensors if name.endswith(ends)]:
        parts = conversion.tensors.pop(ours).chunk(3)
        published = conversion.source.pop(ours)
        for letter, part in zip("qkv", parts, strict=True):
            name = f"{ours.removesuffix('in_proj_weight')}{letter}_proj_weight"
            conversion.tensors[name] = part.contiguous()
            conversion.source[name] = published


def published_width(
    tensors: Mapping[str, Tensor], name: str, known: Collection[int], unit: str = "values"
) -> int:
    """Length of the first axis of a tensor, which says in which size a method was published.

    Args:
        tensors: published name -> value.
        name: published name of the tensor.
        known: lengths of the known sizes.
        unit: items of the axis, for the message.

    Raises:
        CheckpointError: no such tensor, or another length.
    """
    value = tensors.get(name)
    width = value.shape[0] if value is not None and value.ndim else None
    if width is None or width not in known:
        expected = " or ".join(map(str, known))
        found = "no such tensor" if width is None else f"{width} {unit}"
        raise CheckpointError(f"expected {name} with {expected} {unit}, found {found}")
    return width


def check_logit_scale(tensors: Mapping[str, Tensor], name: str) -> None:
    """Checks that a factor from cosines to logits, stored as its logarithm, is CLIP's 100.

    Raises:
        CheckpointError: another factor.
    """
    scale = tensors.get(name)
    if scale is None or scale.device.type == "meta":
        return
    if not abs(float(scale.float().mean()) - math.log(100)) < 1e-2:
        raise CheckpointError(
            f"expected {name} of log(100) = 4.605, found {float(scale.float().mean()):.4g}"
        )


def convertible() -> list[str]:
    """Lists the installed plugins that have a converter, without importing them."""
    return sorted(find_submodules("convert"))


def convert_file(
    method: str, source: str | Path, target: str | Path, model: str | None = None
) -> Conversion:
    """Converts a published checkpoint file into a ``.safetensors`` file.

    Args:
        method: entry point name of an installed plugin, for example ``cat_seg``, or ``clip``.
        source: published file. Only tensors are read from it.
        target: file to write, replaced whole or not at all. Its metadata has the method, the file
            name of `source` and its SHA-256.
        model: open_clip name of the architecture (``ViT-B-16-quickgelu``) for ``clip``; None for
            other methods.

    Raises:
        CheckpointError: unknown method, unreadable file, or unknown or missing names.
        PluginError: the plugin's converter cannot be imported.
        ValueError: ``clip`` without a known architecture, or `model` for another method.
    """
    known = find_submodules("convert")
    if method not in (*known, CLIP):
        names = ", ".join((*sorted(known), CLIP))
        raise CheckpointError(
            f"Expected a method with a converter ({names}), got {excerpt(method)}"
        )
    if (method == CLIP) != (model is not None):
        raise ValueError(
            f"Expected a model architecture for method {CLIP!r} only, got {excerpt(model)} for "
            f"{excerpt(method)}"
        )
    tensors, _ = read_weights(source)
    if model is not None:
        conversion = convert_clip(tensors, model, source)
    else:
        conversion = _convert_by_plugin(method, known[method], tensors, source)
    metadata = {
        "method": method,
        **({"model": model} if model else {}),
        "source": Path(source).name,
        "source_sha256": file_sha256(source),
    }
    write_weights(conversion.tensors, target, metadata, source)
    return conversion


def _convert_by_plugin(
    method: str, module: str, tensors: Mapping[str, Tensor], source: str | Path
) -> Conversion:
    try:
        convert = importlib.import_module(module).convert
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The converter of {method!r} (module {module}) failed to load with "
            f"{type(error).__name__}: {error}. Upgrade or correct that plugin"
        ) from error
    try:
        return convert(tensors)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source} is not a {method} checkpoint of a known layout ({error})"
        ) from None


def convert_clip(tensors: Mapping[str, Tensor], model: str, source: str | Path) -> Conversion:
    """Checks a published CLIP against its architecture.

    Names and precision do not change, so open_clip can read the converted file too.

    Args:
        tensors: published name -> value.
        model: open_clip name of the architecture.
        source: published file, for messages.

    Raises:
        CheckpointError: tensors of another architecture.
        ValueError: an unknown architecture.
    """
    from ovss.encoders.architecture import build_clip, read_model_config
    from ovss.encoders.weights import NOT_WEIGHTS, fitted

    with shapes_only():
        clip = build_clip(read_model_config(model))
    tensors = fit_names(tensors, {*clip.state_dict(), *NOT_WEIGHTS})
    try:
        fitted(tensors, clip, model, source)
    except RuntimeError as error:
        raise CheckpointError(str(error)) from None
    kept = {name: value for name, value in tensors.items() if name not in NOT_WEIGHTS}
    dropped = {name: "derived from the architecture" for name in tensors if name not in kept}
    return Conversion(kept, {name: name for name in kept}, dropped)

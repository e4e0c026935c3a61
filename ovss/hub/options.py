"""Options of a ``model`` block that name files: turned into assets, and back into paths."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.encoders.tags import tag_config
from ovss.io.excerpts import excerpt
from ovss.models.parts import external_options, pretrained_block
from ovss.registry import ENCODERS

from .records import SavedModelError

__all__ = ["carried_options", "external_blocks", "plain_values", "pretrained_files", "tuples"]


def plain_values(value: Any, where: str = "model") -> Any:
    """Copy of a config value that JSON can hold.

    Raises:
        SavedModelError: a value of another kind, such as a class or a function, or a number that is
            NaN or infinite.
    """
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise _unfit(where, odd[0], "has a key that is not text")
        return {key: plain_values(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item, f"{where}.{i}") for i, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _unfit(where, value, "is not a plain value")


def _unfit(where: str, value: Any, problem: str) -> SavedModelError:
    return SavedModelError(
        f"The model cannot be saved, because {where} {problem}: {excerpt(value)}. Use text, finite "
        f"numbers, lists and dicts of them in the config"
    )


def tuples(value: Any) -> Any:
    """Copy of plain values in which lists are tuples again, except lists of blocks.

    Configs written in Python hold tuples, and components may use them as keys.
    """
    if isinstance(value, Mapping):
        return {key: tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [tuples(item) for item in value]
        return items if any(isinstance(item, Mapping) for item in items) else tuple(items)
    return value


def external_blocks(model: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Options of all parts that name files or downloads, see `external_options`."""
    for part, block in model.items():
        if isinstance(block, dict):
            yield from external_options(block, f"model.{part}")


def carried_options(block: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Options whose files are read after the model is built, see `Encoder.carried`.

    Yields:
        The dict that holds an option, and the option's key.
    """
    if isinstance(block, dict):
        kind = ENCODERS.module_dict.get(str(block.get("type")))
        for name in kind.carried if kind is not None else ():
            part, _, key = name.rpartition(".")
            inner = block.get(part) if part else block
            if isinstance(inner, dict):
                inner = pretrained_block(inner) if key == "pretrained" else inner
                if inner.get(key) is not None:
                    yield inner, key
        for value in block.values():
            yield from carried_options(value)
    elif isinstance(block, (list, tuple)):
        for value in block:
            yield from carried_options(value)


def pretrained_files(block: Mapping[str, Any]) -> tuple[str, ...]:
    """Pre-trained weights that a ``model`` block names, as text for the card."""
    found = []
    for holder, key, _ in external_blocks(Config(dict(block)).to_dict()):
        if key == "pretrained":
            found.append(_title(holder, str(holder[key])))
    return tuple(dict.fromkeys(found))


def _title(holder: Mapping[str, Any], pretrained: str) -> str:
    """Repository of a tag on the hub, or the name of the architecture and the file."""
    model = holder.get("model")
    if "/" in pretrained or "\\" in pretrained or model is None:
        return f"{model or holder.get('type')}: {Path(pretrained).name}"
    try:
        repository = os.path.split(tag_config(str(model), pretrained).get("hf_hub") or "")[0]
    except ValueError:
        repository = ""
    return repository or (pretrained if model == pretrained else f"{model}: {pretrained}")

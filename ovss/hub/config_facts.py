"""Facts for a model card that a config holds: its docstring, training data, base and vocabulary."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss.io.regular import open_regular
from ovss.models.provenance import BUNDLED
from ovss.vocabularies import load_names

from .options import pretrained_files
from .records import ModelFacts

__all__ = ["facts_of_config"]

_BUNDLED_LICENSE = "apache-2.0"
_SYNTHETIC = (
    "The training data are synthetic shapes. On photographs the masks mean nothing: use a model "
    "with published weights for them."
)


def facts_of_config(config: Config, note: str = "", trained: bool = True) -> ModelFacts:
    """Facts that a config holds.

    Args:
        config: config of the model.
        note: caveat on the weights, see `ovss.models.provenance.weights_note`.
        trained: False for a method whose weights are those of its pre-trained networks.
    """
    title, description = _docstring(config.filename)
    data = _dataset(config, "train_dataloader") if trained else {}
    names = _dataset(config, "test_dataloader").get("vocabulary")
    is_bundled = note == BUNDLED
    dataset = _data_name(data)
    return ModelFacts(
        license=_BUNDLED_LICENSE if is_bundled else "",
        title=title,
        description=description,
        training=_sentence(data, dataset) if data else _untrained(trained),
        datasets=(dataset,) if dataset and is_bundled else (),  # others may come from elsewhere
        base=pretrained_files(config.model.to_dict()),
        limits=_SYNTHETIC if is_bundled else "",
        vocabulary=_names(names),
    )


def _names(vocabulary: Any) -> tuple[str, ...]:
    """Names of a vocabulary; none if a file of the config is not here."""
    if not vocabulary:
        return ()
    try:
        return tuple(load_names(vocabulary))
    except (OSError, ValueError, LookupError):
        return ()


def _untrained(trained: bool) -> str:
    return "" if trained else "The method is training-free; its weights are those named here."


def _sentence(data: Mapping[str, Any], name: str) -> str:
    vocabulary = data.get("vocabulary")
    known = f"the vocabulary {vocabulary}" if isinstance(vocabulary, str) else "its own categories"
    if "images" not in data:
        drawn = data.get("type", "its dataset")
        return f"Its config trains on synthetic scenes, drawn by {drawn} with {known}."
    return f"Its config trains on {name or 'a dataset'}: images with label maps of {known}."


def _data_name(data: Mapping[str, Any]) -> str:
    """Name of a dataset: that of its vocabulary, or its class."""
    if not data:
        return ""
    vocabulary = data.get("vocabulary")
    if isinstance(vocabulary, str) and not Path(vocabulary).suffix:
        return vocabulary
    return str(data.get("type", ""))


def _dataset(config: Config, loader: str) -> dict[str, Any]:
    block = config.get(loader) or {}
    data = block.get("dataset") if isinstance(block, Mapping) else None
    return dict(data) if isinstance(data, Mapping) else {}


def _docstring(path: str | None) -> tuple[str, str]:
    """First sentence and rest of the docstring of a config file; empty if it has none."""
    if not path or Path(path).suffix != ".py":
        return "", ""
    try:
        with open_regular(path, "r") as file:
            text = ast.get_docstring(ast.parse(file.read())) or ""
    except (OSError, SyntaxError, ValueError):
        return "", ""
    title, _, rest = text.partition("\n")
    return title.strip(), rest.strip()

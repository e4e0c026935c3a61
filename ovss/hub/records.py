"""Content of ``config.json`` in the folder of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ovss.io.excerpts import excerpt
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.io.typed import record_from
from ovss.models.config_source import ConfigError

__all__ = [
    "ASSETS",
    "CARD",
    "CONFIG_FILE",
    "FORMAT",
    "WEIGHTS_FILE",
    "ModelDescription",
    "ModelFacts",
    "ModelMetric",
    "SavedModelError",
    "read_model_description",
]

CONFIG_FILE, WEIGHTS_FILE, CARD, ASSETS = "config.json", "model.safetensors", "README.md", "assets"
FORMAT = 1
"""Version of the format. Any other version is refused, because a config must not be misread."""

LIBRARY = "ovss"
_LARGEST = 1 << 24  # bytes; a config with 10,000 category names takes a hundredth of it
_DAMAGED = "The file was edited or is damaged. Use an unedited copy"


class SavedModelError(ConfigError):
    """A folder that holds no model, a damaged one, or one that may not be loaded."""


@dataclass(frozen=True)
class ModelMetric:
    """Result of an evaluation.

    Args:
        dataset: name of the dataset.
        values: value in percent by name of the metric.
        headline: name of the metric that counts.
        protocol: name of the protocol.
        method_hash: hash of the protocol without the dataset.
        full_hash: hash of the whole protocol.
        images: number of images.
    """

    dataset: str
    values: dict[str, float]
    headline: str
    protocol: str
    method_hash: str
    full_hash: str
    images: int


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model that loading it does not need; the model card shows them.

    Args:
        license: identifier of the hub (``mit``, ``apache-2.0``); empty: not stated.
        title: one sentence on the model.
        description: further text, in the form of the docstring of a config.
        training: training data, as a sentence.
        datasets: names of the training datasets.
        base: pre-trained weights that the model contains.
        limits: known limits, as sentences.
        vocabulary: categories of the evaluation, which are a default for yours.
        protocol: evaluation protocol: its name, its hashes and its fields.
        metrics: results of evaluations.
        links: address by title, such as the paper and the authors' code.
    """

    license: str = ""
    title: str = ""
    description: str = ""
    training: str = ""
    datasets: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    limits: str = ""
    vocabulary: tuple[str, ...] = ()
    protocol: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[ModelMetric, ...] = ()
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelDescription:
    """Everything that ``config.json`` says.

    Args:
        name: name of the method.
        ovss_version: version that wrote the folder.
        model: resolved ``model`` block, plain values only. Texts that start with ``assets/`` are
            files of the folder.
        modules: plugin modules to import.
        plugins: name, distribution and version of each installed plugin that has these modules.
        weights: name, SHA-256, number of tensors and of parameters of the weights file, and
            whether they were halved.
        preprocessing: order and range of the colours, and the pixel statistics by name of the
            buffer.
        assets: SHA-256 of every further file, by path in the folder.
        note: caveat on the weights, shown wherever results are.
        facts: facts for the card.
    """

    name: str
    ovss_version: str
    model: dict[str, Any]
    modules: tuple[str, ...]
    plugins: tuple[dict[str, str], ...]
    weights: dict[str, Any]
    preprocessing: dict[str, Any]
    assets: dict[str, str]
    note: str
    facts: ModelFacts

    def as_json(self) -> dict[str, Any]:
        """Content of the file, plain values only."""
        return {"library": LIBRARY, "format_version": FORMAT, **_plain(asdict(self))}


def read_model_description(path: Path) -> ModelDescription:
    """Reads ``config.json``.

    Raises:
        SavedModelError: the file is missing, too large, not JSON, of another format, or lacks a
            key. The message is one sentence with the path.
    """
    content = _read(path)
    if not isinstance(content, dict) or content.get("library") != LIBRARY:
        raise SavedModelError(
            f"{path} does not describe a model of ovss, because its key 'library' is not "
            f"'{LIBRARY}'. Give a folder that `ovss save` or Inferencer.save_pretrained wrote"
        )
    found = content.get("format_version")
    if isinstance(found, bool) or found != FORMAT:
        raise SavedModelError(
            f"{path} has format version {excerpt(found)}, written by ovss "
            f"{str(content.get('ovss_version'))[:40]}, but this version reads {FORMAT}. Upgrade "
            f"ovss, or save the model again"
        )
    rest = {k: v for k, v in content.items() if k not in ("library", "format_version")}
    try:
        facts = rest.get("facts")
        if isinstance(facts, Mapping):
            rest["facts"] = _facts(facts, path)
        for key in ("modules", "plugins"):
            rest[key] = _tuple(rest.get(key))
        description: ModelDescription = record_from(ModelDescription, rest, str(path), _DAMAGED)
    except ValueError as error:
        raise SavedModelError(str(error)) from None
    return description


def _facts(content: Mapping[str, Any], path: Path) -> ModelFacts:
    metrics = content.get("metrics")
    items = metrics if isinstance(metrics, list) else []
    records = tuple(
        record_from(ModelMetric, item, f"a metric in {path}", _DAMAGED) for item in items
    )
    values = {key: _tuple(value) for key, value in content.items()}
    facts: ModelFacts = record_from(
        ModelFacts, {**values, "metrics": records}, f"'facts' in {path}", _DAMAGED
    )
    return facts


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise SavedModelError(
            f"{path.parent} holds no model, because it has no {path.name}. Give a folder that "
            f"`ovss save` or Inferencer.save_pretrained wrote"
        ) from None
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read ({error.strerror}). Correct it") from error
    if len(text) > _LARGEST:
        raise SavedModelError(f"{path} has more than {_LARGEST:,} bytes. Use an unedited copy")
    try:
        return parse_json(text)
    except ValueError as error:
        raise SavedModelError(f"{path} {error}. Copy the file again") from None

"""Records of a result: metrics, protocol, data, weights and run of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["DataRecord", "ProtocolRecord", "Result", "ResultError", "RunRecord", "WeightsRecord"]


class ResultError(ValueError):
    """A result file cannot be read, has an unknown format, or is incomplete."""


@dataclass(frozen=True)
class ProtocolRecord:
    """Protocol of an evaluation.

    Args:
        name: name of the closest named protocol, with the fields that differ from it.
        method_hash: hash of all fields except those of the dataset, as in `ovss list protocols`.
        full_hash: hash of every field, including those of the dataset.
        fields: values of all fields.
    """

    name: str
    method_hash: str
    full_hash: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class DataRecord:
    """Dataset of an evaluation.

    Args:
        name: name of the dataset in tables.
        folder: folder of its files; empty for a generated dataset.
        images: number of evaluated images.
        categories: number of categories T.
        census: SHA-256 over the category names and their true pixels. If it is equal in two
            results, they were evaluated against the same labels.
    """

    name: str
    folder: str
    images: int
    categories: int
    census: str


@dataclass(frozen=True)
class WeightsRecord:
    """Weights of an evaluated model.

    Args:
        file: checkpoint as named by the user or the config; None: no checkpoint was loaded.
        sha256: SHA-256 of `file`.
        encoder: pre-trained file or tag of the encoder; None: random weights.
        encoder_sha256: SHA-256 over names, types, shapes and bytes of the encoder's tensors, as
            loaded, so it does not depend on the file format.
        model_sha256: SHA-256 over the tensors of the whole model.
    """

    file: str | None
    sha256: str | None
    encoder: str | None
    encoder_sha256: str
    model_sha256: str


@dataclass(frozen=True)
class RunRecord:
    """Time, machine and resources of an evaluation.

    Args:
        command: command line, split into arguments.
        started: start of the first session (UTC, ISO 8601).
        ended: end of the last session (UTC, ISO 8601).
        seconds: wall-clock seconds of the pass over the images, summed over sessions.
        seconds_per_image: `seconds` divided by the number of images.
        sessions: number of sessions; 1 if the run was never resumed.
        ranks: number of ranks in the last session.
        peak_memory: bytes of the largest rank: ``resident``, and ``gpu`` if a GPU was used.
        device: ``kind`` (cpu, cuda), ``name``, ``threads``, ``precision`` of computations
            and ``matmul``, the precision of float32 products.
        versions: versions of ovss, Python and the packages that computations depend on.
    """

    command: list[str]
    started: str
    ended: str
    seconds: float
    seconds_per_image: float
    sessions: int
    ranks: int
    peak_memory: dict[str, int]
    device: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class Result:
    """Result of one evaluation.

    Args:
        metrics: metrics by name, in percent and unrounded; None if undefined.
        headline: name of the metric that the protocol quotes.
        categories: ``iou``, ``accuracy``, ``seen``, ``pixels`` (true ones), ``predicted`` and
            ``correct`` of each category. Files of earlier versions lack ``correct``.
        protocol: protocol of the evaluation.
        data: dataset of the evaluation.
        weights: weights of the model.
        run: time, machine and resources.
        config_name: name of the method's config.
        config: final config as text.
    """

    metrics: dict[str, float | None]
    headline: str
    categories: dict[str, dict[str, Any]]
    protocol: ProtocolRecord
    data: DataRecord
    weights: WeightsRecord
    run: RunRecord
    config_name: str
    config: str

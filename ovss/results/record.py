"""Collects the content of a result from what ran, not from what was requested."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ovss.evaluation.cost import Cost
from ovss.evaluation.iou import IoUReport
from ovss.io.fingerprint import sha256
from ovss.io.hashing import content_hash
from ovss.io.state_dicts import type_name
from ovss.io.weight_files import file_sha256
from ovss.models.config_text import dump_config
from ovss.models.parts import pretrained_block
from ovss.models.weights import find_weights, named_weights
from ovss.protocols.settled import SettledProtocol

from .result_file import DataRecord, ProtocolRecord, Result, RunRecord, WeightsRecord

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "safetensors",
    "open_clip_torch",
    "timm",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmsegmentation",
)


def result_of(
    *,
    config: Config,
    config_name: str,
    model: nn.Module,
    weights: str | Path | None,
    report: IoUReport,
    protocol: SettledProtocol,
    cost: Cost,
    command: Sequence[str],
    data_name: str = "",
) -> Result:
    """Result of a finished evaluation.

    Args:
        config: config passed to `build_runner`, after all flags are applied.
        config_name: name of the method's config.
        model: evaluated model, not wrapped for distributed runs.
        weights: weights as passed to `ovss.models.weights.load_trained`.
        report: report of the metric.
        protocol: protocol of the run.
        cost: time and memory that the loop measured.
        command: command line, split into arguments.
        data_name: name of the dataset in tables; if empty, that of its vocabulary or folder.
    """
    dataset = config.test_dataloader.dataset
    census = content_hash([report.names, report.counts.true_T.tolist()])
    data = DataRecord(
        part_name(data_name or dataset_name(dataset), dataset.get("limit")),
        data_folder(dataset),
        cost.images,
        len(report.names),
        census,
    )
    run = RunRecord(
        list(command),
        cost.started,
        cost.ended,
        cost.seconds,
        cost.seconds / max(cost.images, 1),
        cost.sessions,
        cost.ranks,
        cost.peak_memory,
        machine(model, config.get("test_cfg", {}).get("precision", "float32")),
        versions(),
    )
    return Result(
        {name: _number(value) for name, value in report.summary().items()},
        report.headline,
        report.as_dict()["categories"],
        protocol_record(protocol),
        data,
        weights_record(model, config, weights),
        run,
        config_name,
        dump_config(config),
    )


def protocol_record(protocol: SettledProtocol) -> ProtocolRecord:
    """Protocol as a result records it."""
    return ProtocolRecord(protocol.name, protocol.method_hash, protocol.full_hash, protocol.fields)


def weights_record(model: nn.Module, config: Config, weights: str | Path | None) -> WeightsRecord:
    """Checkpoint of a model, with hashes of its tensors that do not depend on the file format."""
    named = named_weights(config, weights)
    state = model.state_dict()
    own = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    return WeightsRecord(
        None if named is None else str(named),
        None if named is None else file_sha256(find_weights(named)),
        pretrained_block(config.model.encoder).get("pretrained"),
        sha256(own),
        sha256(state),
    )


def data_folder(dataset: dict[str, Any]) -> str:
    """Common folder of images and label maps; empty for a dataset without files."""
    places = [dataset[key] for key in ("images", "masks") if dataset.get(key)]
    if not places:
        return str(dataset.get("data_root") or "")
    return os.path.commonpath(places) if len(places) > 1 else str(places[0])


def part_name(name: str, limit: int | None) -> str:
    """Name of a dataset in tables, which tells a part of it from the whole.

    >>> part_name("ade20k_150", 50), part_name("ade20k_150", None)
    ('ade20k_150 (limit 50)', 'ade20k_150')
    """
    part = "" if limit is None else f" (limit {limit})"
    return name if name.endswith(part) else name + part


def dataset_name(dataset: dict[str, Any]) -> str:
    """Name of a dataset in tables: its own, that of its vocabulary, its folder or its class."""
    if dataset.get("name"):
        return str(dataset["name"])
    vocabulary = dataset.get("vocabulary")
    if isinstance(vocabulary, str) and not Path(vocabulary).suffix:
        return vocabulary
    folder = Path(data_folder(dataset))
    return folder.name or str(dataset.get("type", "data"))


def machine(model: nn.Module, precision: str = "float32") -> dict[str, Any]:
    """Device of the model's parameters, and the precision of its computations.

    Args:
        model: evaluated model.
        precision: number type in which images were segmented; ``float32``: that of the parameters.
    """
    parameter = next(model.parameters(), torch.empty(0))
    on_gpu = parameter.device.type == "cuda"
    return {
        "kind": parameter.device.type,
        "name": torch.cuda.get_device_name(parameter.device) if on_gpu else processor(),
        "threads": torch.get_num_threads(),
        "precision": type_name(parameter.dtype) if precision == "float32" else precision,
        "matmul": torch.get_float32_matmul_precision(),
    }


def versions() -> dict[str, str]:
    """Versions of ovss, Python and the packages that computations depend on."""
    from ovss import __version__

    installed = {"ovss": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def processor() -> str:
    """Name of the CPU."""
    if sys.platform == "linux" and os.access("/proc/cpuinfo", os.R_OK):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

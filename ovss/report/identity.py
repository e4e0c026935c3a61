"""Everything that enters a cell, and its hash."""

from __future__ import annotations

import importlib.util
import inspect
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from ovss import __version__
from ovss.benchmark.complexity import on_meta
from ovss.benchmark.images import open_dataset
from ovss.benchmark.table import made_with
from ovss.benchmark.table_jobs import config_of
from ovss.evaluation.plan import data_hash
from ovss.io.hashing import content_hash
from ovss.io.weight_files import file_sha256
from ovss.models.configs import use_dataset
from ovss.models.weights import WEIGHTS_DIR, find_weights, named_weights
from ovss.protocols.settled import SettledProtocol, settle_protocol

from .cells import SCENES, CellJob

__all__ = ["MEASURED_BY", "cell_protocol", "identity_of", "settled_config"]

MEASURED_BY = 2
"""Version of the code that measures cells. Raise it when the same inputs give other values."""


def settled_config(job: CellJob) -> tuple[Config, SettledProtocol]:
    """Config of a cell on its dataset, and the protocol that runs.

    Raises:
        FileNotFoundError: an unknown method or dataset.
        ProtocolError: the method cannot run its protocol on the dataset.
    """
    config = config_of(job.method)
    use_dataset(config, job.data)
    return config, settle_protocol(config)


def cell_protocol(protocol: SettledProtocol) -> dict[str, str]:
    """Name and hashes of a protocol, as cells record them."""
    hashes = {"method_hash": protocol.method_hash, "full_hash": protocol.full_hash}
    return {"name": protocol.name, **hashes}


def identity_of(job: CellJob) -> dict[str, Any]:
    """Everything that the values of a cell depend on, as plain values.

    Args:
        job: cell.

    Raises:
        FileNotFoundError: an unknown method or dataset, or a missing checkpoint.
    """
    config, protocol = settled_config(job)
    data = open_dataset(config, None, job.images)
    common = {
        "kind": job.kind,
        "measured_by": MEASURED_BY,
        "images": job.images,
        "numbers": job.numbers,
        "data": data_hash(data, config.test_dataloader["dataset"]),
    }
    if job.kind == SCENES:
        return common
    weights = None if job.weights == "none" else job.weights
    named = named_weights(config, weights)
    return {
        **common,
        "model": config.model.to_dict(),
        "weights": named if named is None else _file_hash(find_weights(named)),
        "random": job.weights == "none",
        "pretrained": _pretrained_hashes(config.model.to_dict()),
        "code": _code_hash(config),
        "protocol": protocol.full_hash,
        "names": content_hash(job.names),
        "thresholds": job.thresholds,
        "temperature": job.temperature,
        "device": job.device,
        "made_with": made_with(job.device),
    }


@lru_cache(maxsize=256)
def _hash_of_file(path: str, size: int, changed: int) -> str:
    return file_sha256(path)


def _file_hash(path: Path) -> str:
    status = path.stat()
    return _hash_of_file(str(path), status.st_size, status.st_mtime_ns)


def _pretrained_hashes(value: Any) -> list[str]:
    """Hashes of the bundled and local weight files that the blocks of a model name.

    Weights of a public tag are the same under one name, so that the name is enough.
    """
    if isinstance(value, (list, tuple)):
        return [each for item in value for each in _pretrained_hashes(item)]
    if not isinstance(value, dict):
        return []
    found = [each for item in value.values() for each in _pretrained_hashes(item)]
    named = value.get("pretrained")
    if isinstance(named, str):
        places = (Path(named), WEIGHTS_DIR / f"{named}.safetensors")
        found += [_file_hash(path) for path in places if path.is_file()][:1]
    return found


@dataclass(frozen=True)
class _Block:
    """Model block of a config, as the key of a cache."""

    text: str
    config: Config = field(compare=False)


def _code_hash(config: Config) -> str:
    """Hash of the source files of all classes that a method is built from.

    A change in a plugin costs the cells of its methods only.
    """
    block = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    files = _class_files(_Block(block, config))
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    return content_hash([__version__, torch.__version__, texts])


@lru_cache(maxsize=256)
def _class_files(block: _Block) -> list[str]:
    model: nn.Module = on_meta(block.config)
    classes = {type(module) for module in model.modules()} | {type(model)}
    files = {inspect.getsourcefile(kind) for kind in classes if _is_of_method(kind)}
    return sorted(filter(None, files))


def _is_of_method(kind: type) -> bool:
    """True for classes outside of torch whose source is at hand."""
    package = kind.__module__.partition(".")[0]
    if package in ("torch", "torchvision", "builtins"):
        return False
    return importlib.util.find_spec(package) is not None and inspect.getsourcefile(kind) is not None

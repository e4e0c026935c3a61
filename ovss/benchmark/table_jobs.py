"""Which rows the table of methods has, checked before the first is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmengine.config import Config

from ovss.io.weight_files import file_sha256
from ovss.models.configs import load_config, shipped_configs
from ovss.models.weights import find_weights, named_weights, random_parts

from .arguments import parse_method
from .complexity import on_meta


@dataclass(frozen=True)
class Job:
    """One row of the table.

    Args:
        method: config's name or path, settings after commas.
        data: name or path of a dataset config.
        scenes: number of images, from the first.
        weights: a checkpoint, ``default`` (the config's own) or ``none``.
        device: where it runs.
        fingerprint: of the model's config and the file of its weights.
    """

    method: str
    data: str
    scenes: int
    weights: str = "default"
    device: str = "cpu"
    fingerprint: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.method} on {self.data}"


def config_of(method: str) -> Config:
    """A method's config under its settings."""
    name, settings = parse_method(method)
    return load_config(name, settings)


def methods_with_weights() -> list[str]:
    """Shipped methods at mini scale that need no training or whose weights are bundled."""
    names = [name for name in shipped_configs() if name.endswith("_mini")]
    return [name for name in names if not _lacks_weights(load_config(name))]


def _lacks_weights(config: Config) -> bool:
    return config.get("weights") is None and bool(random_parts(on_meta(config)))


def plan(
    methods: Sequence[str],
    data: Sequence[str],
    scenes: int,
    weights: dict[str, str] | None = None,
    device: str = "cpu",
) -> list[Job]:
    """Every row to make, all of it checked before the first is begun.

    Args:
        methods, data, scenes, device: see `Job`.
        weights: of methods that do not take their own; the empty name stands for all.

    Raises:
        ValueError: a method has no weights, and none are given.
        FileNotFoundError: no such method or checkpoint.
    """
    weights = weights or {}
    jobs, lacking = [], []
    for method in methods:
        config = config_of(method)
        given = weights.get(method, weights.get("", "default"))
        if given == "default" and _lacks_weights(config):
            lacking.append(method)
            continue
        mark = fingerprint(config, given)
        jobs += [Job(method, name, scenes, given, device, mark) for name in data]
    if lacking:
        raise ValueError(
            f"Expected trained weights, but {', '.join(lacking)} has none. Name a weights file "
            f"({lacking[0]}=FILE), or measure random weights ({lacking[0]}=none)"
        )
    order = {name: index for index, name in enumerate(data)}
    return sorted(jobs, key=lambda job: order[job.data])


def fingerprint(config: Config, weights: str) -> str:
    """Changes with the model's config, and with the content of its weights file."""
    path = named_weights(config, weights)
    file = None if path in (None, "none") else file_sha256(find_weights(path))
    block = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(f"{block} {file}".encode()).hexdigest()[:16]

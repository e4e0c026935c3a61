"""Plans the rows of the table of methods and checks them before the first is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mmengine.config import Config

from ovss.io.weight_files import file_sha256
from ovss.models.configs import load_config, shipped_configs, use_dataset
from ovss.models.weights import find_weights, named_weights, random_parts
from ovss.proposers.extras import MissingExtraError

from .arguments import parse_method
from .complexity import on_meta


@dataclass(frozen=True)
class Job:
    """Row of the table that is to be measured.

    Args:
        method: name or path of the config, with settings after commas.
        data: name or path of a dataset config.
        scenes: number of images, from the first.
        weights: checkpoint, ``default`` (the config's own) or ``none``.
        device: torch device.
        fingerprint: hash of the model's config and its weights file.
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
    """Loads a method's config with its settings applied."""
    name, settings = parse_method(method)
    return load_config(name, settings)


def methods_with_weights(log: Callable[[str], None] = lambda line: None) -> list[str]:
    """Bundled methods at mini scale that need no training or have bundled weights.

    Args:
        log: callback for a sentence on each method that is left out, because it needs a package
            that is not installed.
    """
    names = [name for name in shipped_configs() if name.endswith("_mini")]
    return [name for name in names if _is_ready(name, log)]


def _is_ready(name: str, log: Callable[[str], None]) -> bool:
    config = load_config(name)
    try:
        return not _lacks_weights(config)
    except MissingExtraError as error:
        log(f"{name} is left out: {error}")
        return False


def _lacks_weights(config: Config) -> bool:
    model = on_meta(config)  # also with weights, because it may need a package
    return config.get("weights") is None and bool(random_parts(model))


def plan(
    methods: Sequence[str],
    data: Sequence[str],
    scenes: int,
    weights: dict[str, str] | None = None,
    device: str = "cpu",
) -> list[Job]:
    """Plans one job per method and dataset, and checks all of them.

    Args:
        methods: see `Job.method`.
        data: see `Job.data`.
        scenes: see `Job.scenes`.
        weights: method -> its weights, where they replace the config's own. The empty name applies
            to all methods.
        device: see `Job.device`.

    Raises:
        ValueError: a method without weights.
        MissingExtraError: a method that needs a package that is not installed.
        FileNotFoundError: an unknown method or dataset, or a missing checkpoint.
    """
    for name in data if methods else ():  # before a process is started
        use_dataset(config_of(methods[0]), name)
    weights = weights or {}
    jobs, lacking = [], []
    for method in methods:
        config = config_of(method)
        source = weights.get(method, weights.get("", "default"))
        if source == "default" and _lacks_weights(config):
            lacking.append(method)
            continue
        mark = job_fingerprint(config, source)
        jobs += [Job(method, name, scenes, source, device, mark) for name in data]
    if lacking:
        raise ValueError(
            f"Expected trained weights for every method, found none for {', '.join(lacking)}. Name "
            f"a checkpoint ({lacking[0]}=FILE), or measure random weights ({lacking[0]}=none)"
        )
    order = {name: index for index, name in enumerate(data)}
    return sorted(jobs, key=lambda job: order[job.data])


def job_fingerprint(config: Config, weights: str) -> str:
    """Hash of the model's config and of the content of its weights file."""
    path = named_weights(config, weights)
    file = None if path in (None, "none") else file_sha256(find_weights(path))
    block = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(f"{block} {file}".encode()).hexdigest()[:16]

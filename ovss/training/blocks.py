"""Finds the blocks of a config that name registered types, and checks each of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
    Registry,
)
from torch import nn

from ovss.data import transform_registry
from ovss.io.excerpts import excerpt
from ovss.models.config_source import ConfigError
from ovss.models.validation import check_argument_names, check_block, class_or_none
from ovss.protocols.read import listed

PARTS = ("train", "val", "test")
_GIVEN_TO_SCHEDULERS = ("optimizer", "convert_to_iter_based")


@dataclass(frozen=True)
class Block:
    """Block of a config that names a registered type.

    Args:
        where: dotted key of the block.
        value: content of the block.
        registry: registry of its type.
        provided: keys that the program adds, or removes before the type is called.
        default: type of a block that names none.
    """

    where: str
    value: Any
    registry: Registry
    provided: tuple[str, ...] = ()
    default: str | None = None


def blocks(config: Config) -> Iterator[Block]:
    """Yields every block outside of ``model`` that names a registered type."""
    for part in PARTS:
        loader = config.get(f"{part}_dataloader")
        if loader is not None:
            yield from _loader_blocks(f"{part}_dataloader", loader)
        if config.get(f"{part}_cfg"):
            provided = ("runner", "dataloader", "evaluator")
            yield Block(f"{part}_cfg", config[f"{part}_cfg"], LOOPS, provided, _loop(config, part))
        for index, metric in enumerate(listed(config.get(f"{part}_evaluator"))):
            yield Block(f"{part}_evaluator.{index}", metric, METRICS)
    for name, hook in (config.get("default_hooks") or {}).items():
        if hook is not None:
            yield Block(f"default_hooks.{name}", hook, HOOKS, ("priority",))
    for index, hook in enumerate(listed(config.get("custom_hooks"))):
        yield Block(f"custom_hooks.{index}", hook, HOOKS, ("priority",))
    for index, scheduler in enumerate(listed(config.get("param_scheduler"))):
        yield Block(f"param_scheduler.{index}", scheduler, PARAM_SCHEDULERS, _GIVEN_TO_SCHEDULERS)
    wrapper = config.get("optim_wrapper") or {}
    if isinstance(wrapper.get("type"), str):
        find_type(OPTIM_WRAPPERS, wrapper["type"], "optim_wrapper")
    if "optimizer" in wrapper:
        yield Block("optim_wrapper.optimizer", wrapper["optimizer"], OPTIMIZERS, ("params",))
    for key, registry, default in (
        ("data_preprocessor", MODELS, None),
        ("visualizer", VISUALIZERS, None),
        ("log_processor", LOG_PROCESSORS, "LogProcessor"),
    ):
        if config.get(key) is not None:
            yield Block(key, config[key], registry, ("name", "save_dir"), default)
    for index, backend in enumerate(listed((config.get("visualizer") or {}).get("vis_backends"))):
        yield Block(f"visualizer.vis_backends.{index}", backend, VISBACKENDS, ("save_dir",))


def check_blocks(config: Config) -> None:
    """Rejects blocks outside of ``model`` that cannot be built.

    Raises:
        ConfigError: a key is missing or of another kind.
        KeyError, TypeError: unknown type or argument; the message suggests the closest name.
    """
    for block in blocks(config):
        check_registered(block)


def check_complete(config: Config) -> None:
    """Rejects a run whose validation or test lacks its data, its loop or its metrics.

    Raises:
        ConfigError: the message names the keys that are missing.
    """
    kinds: tuple[str, ...] = ("dataloader", "evaluator")
    if config.get("train_cfg"):  # without training, an evaluation brings its own loop
        kinds = ("dataloader", "cfg", "evaluator")
    for part in ("val", "test"):
        keys = [f"{part}_{kind}" for kind in kinds]
        missing = [key for key in keys if config.get(key) is None]
        if missing and len(missing) < len(keys):
            raise ConfigError(
                f"{config.filename or 'The config'} sets "
                f"{' and '.join(key for key in keys if key not in missing)}, but not "
                f"{' and '.join(missing)}. Set all of them or none"
            )


def check_registered(block: Block) -> None:
    """Rejects a block whose type is not registered or does not take its arguments.

    Raises:
        KeyError, TypeError: unknown type or argument; the message suggests the closest name.
    """
    if not isinstance(block.value, Mapping):
        if callable(block.value) or isinstance(block.value, nn.Module):
            return
        raise TypeError(
            f"{block.where} must be dict(type=..., ...), got {excerpt(block.value)}. Correct the "
            f"config"
        )
    kind = block.value.get("type", block.default)
    if kind is None:
        raise KeyError(
            f"Missing config key '{block.where}.type', the name of a {block.registry.name}. Add it"
        )
    check_block(
        find_type(block.registry, kind, block.where),
        block.value,
        block.where,
        block.provided,
    )


def find_type(registry: Registry, name: Any, where: str, key: str = "type") -> Any:
    """Finds the class that is registered under a name.

    Args:
        registry: registry of the class.
        name: name, or the class itself.
        where: dotted key of the block that names it.
        key: key in the block.

    Raises:
        KeyError: unknown name; the message suggests the closest one.
        TypeError: something other than a name or a class.
    """
    if callable(name):
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"{where}.{key} must be the name of a {registry.name}, got {excerpt(name)}. Correct "
            f"the config"
        )
    cls = class_or_none(registry, name)
    if cls is None:
        # mmengine builds types with the registry of the default scope, so look there too
        with registry.switch_scope_and_registry(None) as scoped:
            cls = class_or_none(scoped, name)
    if cls is not None:
        return cls
    known: list[str] = []
    level: Registry | None = registry
    while level is not None:
        known, level = known + sorted(level.module_dict), level.parent
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise KeyError(
        f"Unknown {registry.name} {excerpt(name)} in {where}.{key}. {hint}If it belongs to a "
        f"plugin, name the plugin's module in the config: custom_imports = "
        f"dict(imports=['the_plugin'])"
    )


def _loader_blocks(where: str, loader: Any) -> Iterator[Block]:
    if not isinstance(loader, Mapping):
        raise TypeError(f"{where} must be dict(...), got {excerpt(loader)}. Correct the config")
    if "type" in loader:
        raise TypeError(f"{where} takes no type, got {excerpt(loader['type'])}. Remove it")
    check_argument_names(_data_loader, loader, where)
    missing = [key for key in ("dataset", "sampler") if key not in loader]
    if missing:
        raise ConfigError(f"{where} has no {' and no '.join(missing)}. Add it")
    dataset = loader["dataset"]
    yield Block(f"{where}.dataset", dataset, DATASETS)
    steps = dataset.get("pipeline") if isinstance(dataset, Mapping) else None
    for index, step in enumerate(listed(steps)):
        yield Block(f"{where}.dataset.pipeline.{index}", step, transform_registry())
    for key in ("sampler", "batch_sampler"):
        if loader.get(key) is not None:
            provided = ("dataset", "seed", "sampler", "batch_size")
            yield Block(f"{where}.{key}", loader[key], DATA_SAMPLERS, provided)


def _data_loader(
    dataset: Any,
    sampler: Any,
    batch_size: int = 1,
    num_workers: int = 0,
    batch_sampler: Any = None,
    collate_fn: Any = None,
    worker_init_fn: Any = None,
    num_batch_per_epoch: int | None = None,
    disable_subprocess_warning: bool = False,
    pin_memory: bool = False,
    pin_memory_device: str = "",
    drop_last: bool = False,
    timeout: float = 0,
    multiprocessing_context: Any = None,
    generator: Any = None,
    prefetch_factor: int | None = None,
    persistent_workers: bool = False,
    in_order: bool = True,
) -> None:
    """Options of a data loader: those of mmengine, followed by those of torch."""


def _loop(config: Config, part: str) -> str:
    if part != "train":
        return {"val": "ValLoop", "test": "TestLoop"}[part]
    return "EpochBasedTrainLoop" if config.train_cfg.get("by_epoch") else "IterBasedTrainLoop"

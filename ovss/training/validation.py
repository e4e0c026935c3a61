"""A whole config, checked: that its model builds, and that all it names for a run is registered.

Nothing is downloaded and no file of weights or images is read.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
    DefaultScope,
    Registry,
)
from torch import nn

from ovss.data import transform_registry
from ovss.models.build import build_on_meta
from ovss.models.config_reader import ConfigError
from ovss.models.validation import check_block
from ovss.protocols.named import find_protocol
from ovss.protocols.write import write_protocol
from ovss.vocabularies import load_names

from .build import check_trainable, matmul_precision, register_training
from .runner import share_of_batch, switch

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Block:
    """One block of a config that names a registered type.

    Args:
        where: its dotted key.
        value: the block.
        registry: registry of its type.
        provided: keys that the program adds, or takes out before the type is called.
        default: type of a block that names none.
    """

    where: str
    value: Any
    registry: Registry
    provided: tuple[str, ...] = ()
    default: str | None = None


def check_builds(config: Config) -> None:
    """Refuse a config that cannot be built.

    Args:
        config: as `ovss.models.configs.load_config` gives it; left as it is.

    Raises:
        ConfigError, KeyError, TypeError, ValueError: an unknown type, argument, vocabulary or
            protocol, dimensions that do not fit, or a setting that training would refuse.
    """
    register_training()
    config = Config(config.to_dict(), filename=config.filename)
    with _quiet(), DefaultScope.overwrite_default_scope(config.get("default_scope")):
        model = build_on_meta(config.model)
        for block in blocks(config):
            check_registered(block)
        for part in PARTS:
            check_vocabulary(config, part)
            for metric in _list(config.get(f"{part}_evaluator")):
                METRICS.build(dict(metric))
        check_protocol(config)
        check_switches(config)
        if config.get("train_dataloader") and config.get("optim_wrapper"):
            check_training(config, model)


def blocks(config: Config) -> Iterator[Block]:
    """Every block outside of ``model`` that names a registered type."""
    for part in PARTS:
        loader = config.get(f"{part}_dataloader")
        if loader is not None:
            yield from _loader_blocks(f"{part}_dataloader", loader)
        if config.get(f"{part}_cfg"):
            given = ("runner", "dataloader", "evaluator")
            yield Block(f"{part}_cfg", config[f"{part}_cfg"], LOOPS, given, _loop(config, part))
        for index, metric in enumerate(_list(config.get(f"{part}_evaluator"))):
            yield Block(f"{part}_evaluator.{index}", metric, METRICS)
    for name, hook in (config.get("default_hooks") or {}).items():
        if hook is not None:
            yield Block(f"default_hooks.{name}", hook, HOOKS, ("priority",))
    for index, hook in enumerate(_list(config.get("custom_hooks"))):
        yield Block(f"custom_hooks.{index}", hook, HOOKS, ("priority",))
    for key, registry, default in (
        ("data_preprocessor", MODELS, None),
        ("visualizer", VISUALIZERS, None),
        ("log_processor", LOG_PROCESSORS, "LogProcessor"),
    ):
        if config.get(key) is not None:
            yield Block(key, config[key], registry, ("name", "save_dir"), default)
    for index, backend in enumerate(_list((config.get("visualizer") or {}).get("vis_backends"))):
        yield Block(f"visualizer.vis_backends.{index}", backend, VISBACKENDS, ("save_dir",))


def check_registered(block: Block) -> None:
    """Refuse a block whose type is not registered, or does not take its arguments.

    Raises:
        KeyError, TypeError: naming the key and the closest known name.
    """
    if not isinstance(block.value, Mapping):
        if callable(block.value) or isinstance(block.value, nn.Module):
            return
        raise TypeError(
            f"{block.where} must be dict(type=..., ...), got {block.value!r}. Correct the config"
        )
    kind = block.value.get("type", block.default)
    if kind is None:
        raise KeyError(
            f"Missing config key '{block.where}.type', the name of a {block.registry.name}. Add it"
        )
    check_block(
        find_type(block.registry, kind, block.where) if isinstance(kind, str) else kind,
        block.value,
        block.where,
        block.provided,
    )


def find_type(registry: Registry, name: str, where: str) -> type:
    """Class that a registry has under a name.

    Raises:
        KeyError: there is none; with the closest name.
    """
    found = registry.get(name)
    if found is None:
        with registry.switch_scope_and_registry(None) as scoped:
            found = scoped.get(name)
    if found is not None:
        return found
    known: list[str] = []
    level: Registry | None = registry
    while level is not None:
        known, level = known + sorted(level.module_dict), level.parent
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise KeyError(
        f"Unknown {registry.name} {name!r} in {where}.type. {hint}If a plugin has it, name the "
        f"plugin's module in the config: custom_imports = dict(imports=['the_plugin'])"
    )


def check_vocabulary(config: Config, part: str) -> None:
    """Refuse a dataset whose vocabulary, or whose names seen in training, are not known."""
    dataset = (config.get(f"{part}_dataloader") or {}).get("dataset") or {}
    for key in ("vocabulary", "seen"):
        names = dataset.get(key)
        if names is not None and (key == "vocabulary" or len(names)):
            load_names(names)


def check_protocol(config: Config) -> None:
    """Refuse a protocol that is unknown or does not fit the method; `config` stays as it is.

    Datasets of other packages may read files when they are built, so the protocol is then checked
    without its data.
    """
    if config.get("protocol") is None:
        return
    find_protocol(config.protocol)
    settled = Config(config.to_dict())
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    kind = dataset.get("type")
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not getattr(cls, "__module__", "").startswith("ovss."):
        settled.pop("test_dataloader", None)
    write_protocol(settled)


def check_switches(config: Config) -> None:
    """Refuse a value that a key for speed or memory cannot have."""
    matmul_precision(config)
    for key in ("fsdp", "compile", "ema"):
        switch(config, key)


def check_training(config: Config, model: nn.Module) -> None:
    """Refuse a training that cannot start: batch, optimizer, its rules by name, its schedulers.

    Args:
        config: changed.
        model: the method, on the meta device.
    """
    check_trainable(config)
    share_of_batch(config.train_dataloader, config.train_cfg, 1)
    optimizer = config.optim_wrapper.get("optimizer")
    check_registered(Block("optim_wrapper.optimizer", optimizer, OPTIMIZERS, ("params",)))
    wrapper = _located("optim_wrapper", build_optim_wrapper, model, config.optim_wrapper)
    for index, scheduler in enumerate(_list(config.get("param_scheduler"))):
        where = f"param_scheduler.{index}"
        given = ("optimizer", "convert_to_iter_based")
        check_registered(Block(where, scheduler, PARAM_SCHEDULERS, given))
        options = {"end": config.train_cfg.max_iters, **scheduler, "optimizer": wrapper}
        options.pop("convert_to_iter_based", None)
        _located(where, PARAM_SCHEDULERS.build, options)


def _loader_blocks(where: str, loader: Any) -> Iterator[Block]:
    if not isinstance(loader, Mapping):
        raise TypeError(f"{where} must be dict(...), got {loader!r}. Correct the config")
    dataset = loader.get("dataset")
    yield Block(f"{where}.dataset", dataset, DATASETS)
    steps = dataset.get("pipeline") if isinstance(dataset, Mapping) else None
    for index, step in enumerate(_list(steps)):
        yield Block(f"{where}.dataset.pipeline.{index}", step, transform_registry())
    for key in ("sampler", "batch_sampler"):
        if loader.get(key) is not None:
            given = ("dataset", "seed", "sampler", "batch_size")
            yield Block(f"{where}.{key}", loader[key], DATA_SAMPLERS, given)


def _loop(config: Config, part: str) -> str:
    if part != "train":
        return {"val": "ValLoop", "test": "TestLoop"}[part]
    return "EpochBasedTrainLoop" if config.train_cfg.get("by_epoch") else "IterBasedTrainLoop"


def _list(value: Any) -> list[Any]:
    """Items of a key that may hold one, several or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _located(where: str, build: Any, *arguments: Any) -> Any:
    """Result of a function of mmengine, whose errors do not name the key of the config."""
    try:
        return build(*arguments)
    except (KeyError, TypeError, ValueError) as error:
        text = error.args[0] if error.args else error
        raise ConfigError(f"{where} cannot be built: {text}. Correct it") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines of what is built for a check."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

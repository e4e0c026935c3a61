"""Checks that a config can run: its model builds, and every type that it names is registered.

Nothing is downloaded, and no weights or images are read.
"""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATASETS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    DefaultScope,
)
from torch import nn

from ovss.models.build import build_on_meta
from ovss.models.config_reader import quiet_log
from ovss.models.config_source import ConfigError, located
from ovss.protocols.named import find_protocol
from ovss.protocols.read import listed
from ovss.protocols.write import write_protocol
from ovss.vocabularies import load_names

from .batch import share_of_batch
from .blocks import PARTS, Block, check_blocks, check_complete, check_registered, find_type
from .build import check_trainable, matmul_precision, register_training
from .ranges import check_numbers
from .run_options import check_run_options
from .runner import switch
from .tracking.choice import check_track


def check_builds(config: Config) -> None:
    """Rejects a config that cannot be built.

    Args:
        config: result of `ovss.models.configs.load_config`, not modified.

    Raises:
        ConfigError, KeyError, TypeError, ValueError: unknown type, argument, vocabulary or
            protocol, incompatible dimensions, or a setting that training would reject.
    """
    register_training()
    config = Config(config.to_dict(), filename=config.filename)
    scope = DefaultScope.overwrite_default_scope(config.get("default_scope"))
    with located(config.filename or "The config"), quiet_log("ERROR"), scope:
        model = build_on_meta(config.model)
        check_blocks(config)
        check_numbers(config)
        check_run_options(config)
        check_track(config)
        if config.get("data_preprocessor") is not None:
            MODELS.build(config.data_preprocessor)
        for part in PARTS:
            check_vocabulary(config, part)
            for metric in listed(config.get(f"{part}_evaluator")):
                METRICS.build(dict(metric))
        check_protocol(config)
        check_switches(config)
        if config.get("train_dataloader") and config.get("optim_wrapper"):
            check_training(config, model)


def check_vocabulary(config: Config, part: str) -> None:
    """Rejects a dataset with an unknown vocabulary or unknown names seen in training."""
    dataset = (config.get(f"{part}_dataloader") or {}).get("dataset") or {}
    for key in ("vocabulary", "seen"):
        names = dataset.get(key)
        if names is not None and (key == "vocabulary" or len(names)):
            load_names(names)


def check_protocol(config: Config) -> None:
    """Rejects a protocol that is unknown or does not fit the method; `config` is not modified.

    Datasets of other packages may read files when they are built. Their protocol is checked
    without the dataset.
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
    """Rejects invalid values of the keys for speed and memory."""
    matmul_precision(config)
    for key in ("fsdp", "compile", "ema"):
        switch(config, key)


def check_training(config: Config, model: nn.Module) -> None:
    """Rejects a training that cannot start because of its batch, optimizer or schedulers.

    Args:
        config: config of the training, modified in place.
        model: model of the config on the meta device.
    """
    check_trainable(config)
    check_complete(config)
    share_of_batch(config.train_dataloader, config.train_cfg, 1)
    optimizer = config.optim_wrapper.get("optimizer")
    check_registered(Block("optim_wrapper.optimizer", optimizer, OPTIMIZERS, ("params",)))
    kind = config.optim_wrapper.get("type", "OptimWrapper")
    find_type(OPTIM_WRAPPERS, kind, "optim_wrapper")
    constructor = config.optim_wrapper.get("constructor", "DefaultOptimWrapperConstructor")
    find_type(OPTIM_WRAPPER_CONSTRUCTORS, constructor, "optim_wrapper", "constructor")
    wrapper = _build_located("optim_wrapper", build_optim_wrapper, model, config.optim_wrapper)
    for index, scheduler in enumerate(listed(config.get("param_scheduler"))):
        where = f"param_scheduler.{index}"
        provided = ("optimizer", "convert_to_iter_based")
        check_registered(Block(where, scheduler, PARAM_SCHEDULERS, provided))
        options = {"end": config.train_cfg.max_iters, **scheduler, "optimizer": wrapper}
        options.pop("convert_to_iter_based", None)
        _build_located(where, PARAM_SCHEDULERS.build, options)


def _build_located(where: str, build: Any, *arguments: Any) -> Any:
    """Calls a function of mmengine and adds the config key to its errors, which do not name it."""
    try:
        return build(*arguments)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        text = error.args[0] if error.args else error
        raise ConfigError(f"{where} cannot be built: {text}. Correct it") from error

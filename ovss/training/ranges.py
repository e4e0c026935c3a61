"""Checks of the numbers of a training that would silently train nothing, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from mmengine.config import Config

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.models.config_keys import value_at
from ovss.models.config_source import ConfigError

__all__ = ["check_numbers"]

_LARGEST_SEED = 2**32 - 1  # numpy accepts no larger one
_ANY = float("inf")

_INTEGERS: dict[str, tuple[int, float]] = {
    "train_cfg.max_iters": (1, _ANY),
    "train_cfg.val_begin": (0, _ANY),
    "train_cfg.val_interval": (1, _ANY),
    "train_cfg.micro_batch": (1, _ANY),
    "optim_wrapper.accumulative_counts": (1, _ANY),
    "randomness.seed": (0, _LARGEST_SEED),
    **{
        f"{part}_dataloader.{key}": (low, _ANY)
        for part in ("train", "val", "test")
        for key, low in (("batch_size", 1), ("num_workers", 0), ("prefetch_factor", 1))
    },
    "default_hooks.checkpoint.interval": (-1, _ANY),
    "default_hooks.checkpoint.max_keep_ckpts": (-1, _ANY),
    "default_hooks.logger.interval": (1, _ANY),
    "log_processor.window_size": (1, _ANY),
    "log_processor.num_digits": (0, _ANY),
}
"""Dotted key -> smallest and largest integer."""

_ABOVE_ZERO = (
    "optim_wrapper.clip_grad.max_norm",
    "optim_wrapper.clip_grad.clip_value",
    "optim_wrapper.clip_grad.norm_type",
    "optim_wrapper.optimizer.lr",
    "optim_wrapper.optimizer.eps",
    "env_cfg.dist_cfg.timeout",
)
_AT_LEAST_ZERO = ("optim_wrapper.optimizer.weight_decay", "optim_wrapper.optimizer.momentum")
_BLOCKS = (
    "train_dataloader.sampler",
    "val_dataloader.sampler",
    "test_dataloader.sampler",
    "optim_wrapper.optimizer",
    "optim_wrapper.clip_grad",
    "optim_wrapper.paramwise_cfg",
    "optim_wrapper.paramwise_cfg.custom_keys",
    "env_cfg.dist_cfg",
    "env_cfg.mp_cfg",
)
"""Keys that are dicts if they are set."""
_OPTIONAL = (
    "train_cfg.micro_batch",
    "randomness.seed",
    *(f"{part}_dataloader.prefetch_factor" for part in ("train", "val", "test")),
)
"""Numbers that may be None."""
_BETA_LIMIT = 1


def check_numbers(config: Config) -> None:
    """Rejects numbers of a training that are of another type or out of range.

    Raises:
        ConfigError: the message names the dotted key, the range and the value.
    """
    for key in _BLOCKS:
        value = value_at(config, key)
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(f"{key} must be dict(...), got {excerpt(value)}. Correct the config")
    for key in (*_INTEGERS, *_ABOVE_ZERO, *_AT_LEAST_ZERO, "optim_wrapper.optimizer.betas"):
        if key not in _OPTIONAL and _is_none(config, key):
            raise ConfigError(f"{key} must be a number, got None. Correct the config")
    for key, (low, high) in _INTEGERS.items():
        value = value_at(config, key)
        if value is not None and not _is_integer(value):
            raise ConfigError(f"{key} must be an integer, got {excerpt(value)}. Correct the config")
        _check(key, value, low, high)
    for key in _AT_LEAST_ZERO:
        _check(key, value_at(config, key), 0, _ANY)
    for key in _ABOVE_ZERO:
        value = value_at(config, key)
        if value is not None and not (_is_number(value) and 0 < value < _ANY):
            if key.endswith("norm_type") and value == _ANY:
                continue  # the largest gradient
            raise ConfigError(
                f"{key} must be a number above 0, got {excerpt(value)}. Correct the config"
            )
    _check_betas(value_at(config, "optim_wrapper.optimizer.betas"))
    _check_rules(value_at(config, "optim_wrapper.paramwise_cfg"))


def _check(key: str, value: Any, low: float, high: float) -> None:
    if value is None:
        return
    owner, _, name = key.rpartition(".")
    try:
        check_range(owner, low, high, **{name: value})
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_betas(betas: Any) -> None:
    if betas is None:  # not set
        return
    fits = isinstance(betas, (list, tuple)) and len(betas) > 0
    if not fits or not all(_is_number(beta) and 0 <= beta < _BETA_LIMIT for beta in betas):
        raise ConfigError(
            f"optim_wrapper.optimizer.betas must be numbers of at least 0 and below 1, got "
            f"{betas!r}. Correct the config"
        )


def _check_rules(rules: Any) -> None:
    """Checks the multipliers of learning rate and weight decay."""
    where = "optim_wrapper.paramwise_cfg"
    if rules is None:
        return
    _check(f"{where}.norm_decay_mult", rules.get("norm_decay_mult"), 0, _ANY)
    for key, rule in (rules.get("custom_keys") or {}).items():
        if not isinstance(rule, Mapping):
            raise ConfigError(
                f"{where}.custom_keys.{key} must be dict(lr_mult=...), got {excerpt(rule)}. "
                f"Correct the config"
            )
        for name, value in rule.items():
            _check(f"{where}.custom_keys.{key}.{name}", value, 0, _ANY)


def _is_none(config: Config, key: str) -> bool:
    """True if a dotted key is set to None."""
    owner, _, name = key.rpartition(".")
    block = value_at(config, owner)
    return isinstance(block, Mapping) and name in block and block[name] is None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

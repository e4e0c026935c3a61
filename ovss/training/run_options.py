"""Options of a run that are dicts without a type: the keys they may have, and their types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_values
from ovss.models.config_keys import value_at
from ovss.models.validation import check_argument_names

__all__ = ["check_run_options"]


def _randomness(
    seed: int | None = None, diff_rank_seed: bool = False, deterministic: bool = False
) -> None:
    """Key ``randomness``."""


def _env_cfg(
    cudnn_benchmark: bool | None = False,
    mp_cfg: dict | None = None,
    dist_cfg: dict | None = None,
    resource_limit: int = 4096,
) -> None:
    """Key ``env_cfg``."""


def _mp_cfg(mp_start_method: str = "fork", opencv_num_threads: int = 0) -> None:
    """Key ``env_cfg.mp_cfg``."""


def _dist_cfg(backend: str | None = None, timeout: float = 1800.0) -> None:
    """Key ``env_cfg.dist_cfg``, see `ovss.distributed.start`."""


def _auto_scale_lr(base_batch_size: int | None = None, enable: bool = False) -> None:
    """Key ``auto_scale_lr``."""


def _fsdp(units: Sequence[str] | None = None) -> None:
    """Key ``fsdp``, see `sharding.shard`."""


def _compile(
    modules: bool | str | Sequence[str] = True,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
) -> None:
    """Key ``compile``, see `ovss.models.compilation.compile_modules`."""


def _clip_norm(
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> None:
    """Key ``optim_wrapper.clip_grad`` of type norm, see `torch.nn.utils.clip_grad_norm_`."""


def _clip_value(clip_value: float, foreach: bool | None = None) -> None:
    """Key ``optim_wrapper.clip_grad`` of type value, see `torch.nn.utils.clip_grad_value_`."""


def _paramwise(custom_keys: dict[str, Any] | None = None, norm_decay_mult: float = 1.0) -> None:
    """Key ``optim_wrapper.paramwise_cfg``, see `optim.NamedRules`."""


_OPTIONS: dict[str, Callable[..., Any]] = {
    "randomness": _randomness,
    "env_cfg": _env_cfg,
    "env_cfg.mp_cfg": _mp_cfg,
    "env_cfg.dist_cfg": _dist_cfg,
    "auto_scale_lr": _auto_scale_lr,
    "fsdp": _fsdp,
    "compile": _compile,
    "ema": EMAHook,
}
"""Dotted key -> function that has its options as arguments."""


def check_run_options(config: Config) -> None:
    """Rejects unknown options of a run, and values of another type.

    Raises:
        ConfigError, TypeError: the message names the dotted key, and the options that exist.
        ValueError: a number that is NaN.
    """
    for key, function in _OPTIONS.items():
        _check(key, function, value_at(config, key))
    if value_at(config, "optim_wrapper.constructor") == "NamedRules":
        rules = value_at(config, "optim_wrapper.paramwise_cfg")
        _check("optim_wrapper.paramwise_cfg", _paramwise, rules)
    clip = value_at(config, "optim_wrapper.clip_grad")
    if isinstance(clip, Mapping):
        by_value = clip.get("type", "norm") == "value"
        function = _clip_value if by_value else _clip_norm
        _check("optim_wrapper.clip_grad", function, clip)
        needed = next(iter(inspect.signature(function).parameters))
        if needed not in clip:
            raise TypeError(f"Missing config key 'optim_wrapper.clip_grad.{needed}'. Add it")


def _check(key: str, function: Callable[..., Any], value: Any) -> None:
    if not isinstance(value, Mapping):
        return
    options = {name: item for name, item in value.items() if name != "type"}
    if "type" in value and key != "optim_wrapper.clip_grad":
        raise TypeError(f"{key} takes no type, got {excerpt(value['type'])}. Remove it")
    check_argument_names(function, options, key)
    check_values(function, options, key)

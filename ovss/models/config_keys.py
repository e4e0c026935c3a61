"""Keys of a config: the top-level ones that exist, and values by dotted key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ovss.io.excerpts import excerpt, some_of

# fmt: off
RUNNER_KEYS = frozenset({
    "auto_scale_lr", "channels_last", "compile", "custom_hooks", "custom_imports",
    "data_preprocessor", "default_hooks", "default_scope", "ema", "env_cfg", "experiment_name",
    "find_unused_parameters", "fsdp", "gradient_checkpointing", "launcher", "load_from",
    "log_level", "log_processor", "matmul_precision", "model",
    "model_wrapper_cfg",
    "optim_wrapper", "param_scheduler", "protocol", "randomness", "resume", "test_cfg",
    "test_dataloader", "test_evaluator", "track", "train_cfg", "train_dataloader", "val_cfg",
    "val_dataloader", "val_evaluator", "visualizer", "weights", "work_dir",
})
# fmt: on
"""Known top-level keys of a config. ``weights`` names the trained weights of the method,
``load_from`` the weights that training starts from, ``protocol`` the evaluation protocol (see
docs/protocols.md). Helper variables start with an underscore."""


def check_keys(config: Config) -> None:
    """Rejects unknown top-level keys, which mmengine ignores silently.

    Raises:
        KeyError: unknown key; the message names the file and the closest known key.
    """
    for key in config:
        if key in RUNNER_KEYS or key.startswith("_"):
            continue
        close = difflib.get_close_matches(key, RUNNER_KEYS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {some_of(sorted(RUNNER_KEYS))}."
        raise KeyError(
            f"Unknown config key {excerpt(key)} in {config.filename or 'the config'}. {hint} Start "
            f"the names of helper variables with an underscore"
        )


def value_at(config: Config, key: str) -> Any:
    """Value of a dotted key; None if a part of the key is missing or not a dict."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, (Config, Mapping)) else None
    return value

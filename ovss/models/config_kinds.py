"""Kinds of values that the top-level keys of a config may have."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from torch import nn

from ovss.io.excerpts import excerpt

from .config_source import ConfigError

__all__ = ["check_kinds", "without_unset"]


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_built_or_block(value: Any) -> bool:
    return _is_block(value) or isinstance(value, nn.Module)


def _are_blocks(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return all(_is_block(item) for item in items)


def _is_list_of_blocks(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(item, Mapping) or callable(item) or hasattr(item, "priority") for item in value
    )


def _is_switch(value: Any) -> bool:
    return isinstance(value, (bool, Mapping))


def _are_patterns(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return isinstance(value, bool) or all(isinstance(item, str) for item in items)


def _are_names(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return _is_block(value) or all(_is_text(item) for item in items)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_path(value: Any) -> bool:
    return _is_text(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else False


def _is_level(value: Any) -> bool:
    if isinstance(value, str):
        return isinstance(logging.getLevelName(value), int)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_Kind = tuple[Callable[[Any], bool], str]
_BLOCK: _Kind = (_is_block, "dict(...)")
_TYPED: _Kind = (_is_built_or_block, "dict(type=..., ...)")
_BLOCKS: _Kind = (_are_blocks, "dict(type=..., ...) or a list of them")
_LIST: _Kind = (_is_list_of_blocks, "a list of dict(type=..., ...)")
_SWITCH: _Kind = (_is_switch, "True, False or dict(...) of its options")
_PATTERNS: _Kind = (_are_patterns, "True, False or patterns of module names")
_NAMES: _Kind = (_are_names, "names, or dict(NAME=dict(...)) with options")
_BOOL: _Kind = (_is_bool, "True or False")
_TEXT: _Kind = (_is_text, "a text that is not empty")
_PATH: _Kind = (_is_path, "a path")

_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(
        ("auto_scale_lr", "default_hooks", "env_cfg", "log_processor", "model_wrapper_cfg"), _BLOCK
    ),
    **dict.fromkeys(("optim_wrapper", "randomness", "train_cfg", "val_cfg", "test_cfg"), _BLOCK),
    **dict.fromkeys(("train_dataloader", "val_dataloader", "test_dataloader"), _BLOCK),
    **dict.fromkeys(("visualizer", "data_preprocessor"), _TYPED),
    **dict.fromkeys(("val_evaluator", "test_evaluator", "param_scheduler"), _BLOCKS),
    **dict.fromkeys(("compile", "ema", "fsdp"), _SWITCH),
    **dict.fromkeys(("channels_last", "find_unused_parameters", "resume"), _BOOL),
    **dict.fromkeys(
        ("default_scope", "experiment_name", "launcher", "matmul_precision", "protocol"), _TEXT
    ),
    **dict.fromkeys(("load_from", "weights", "work_dir"), _PATH),
    "custom_hooks": _LIST,
    "gradient_checkpointing": _PATTERNS,
    "track": _NAMES,
    "log_level": (_is_level, "the name of a level, such as 'INFO'"),
}
"""Key -> test of its value, and the form that messages show. ``model`` and ``custom_imports`` have
checks of their own, see `ovss.models.validation.check_model` and `plugin_modules`."""


def without_unset(config: Config) -> None:
    """Removes top-level keys that are None, in place: they count as not set."""
    for key in [key for key, value in config.items() if value is None and key in _KINDS]:
        config.pop(key)


def check_kinds(config: Config, source: str | None = None) -> None:
    """Rejects a top-level key whose value is of another kind than the key needs.

    Args:
        config: config to check.
        source: name of the config in messages; None: its file.

    Raises:
        ConfigError: the message names the file, the key, the expected form and the value.
    """
    for key, (fits, form) in _KINDS.items():
        value = config.get(key)
        if value is not None and not fits(value):
            raise ConfigError(
                f"{source or config.filename or 'The config'}: {key} must be {form}, got "
                f"{excerpt(value)}. Correct the key"
            )

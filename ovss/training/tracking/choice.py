"""Trackers that a config or a flag chooses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_values
from ovss.models.config_source import ConfigError
from ovss.models.validation import check_argument_names

from .mlflow import MlflowTracker
from .tensorboard import TensorboardTracker
from .tracker import Tracker
from .wandb import WandbTracker

__all__ = ["TRACKERS", "build_trackers", "check_track", "choose_trackers", "options_of_trackers"]

TRACKERS: dict[str, type[Tracker]] = {
    cls.name: cls for cls in (TensorboardTracker, MlflowTracker, WandbTracker)
}
"""Name -> class."""


def options_of_trackers(value: Any) -> dict[str, dict[str, Any]]:
    """Options of each tracker by its name, from the config key ``track``.

    Args:
        value: ``"mlflow"``, ``"tensorboard,mlflow"``, a list of names, a dict of options by name,
            or None.

    Raises:
        ConfigError: another form, or an unknown name; the message suggests the closest one.

    >>> options_of_trackers("tensorboard,mlflow")
    {'tensorboard': {}, 'mlflow': {}}
    >>> options_of_trackers({"mlflow": {"uri": "http://localhost:5000"}})
    {'mlflow': {'uri': 'http://localhost:5000'}}
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if isinstance(value, (list, tuple)):
        value = {name: None for name in value if isinstance(name, str)} if _are_texts(value) else 0
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(
            f"track must be names of {', '.join(TRACKERS)}, or dict(NAME=dict(...)) with options, "
            f"got {excerpt(value)}. Correct it"
        )
    return {_known(name): _options(name, options) for name, options in value.items()}


def check_track(config: Config) -> None:
    """Rejects a key ``track`` with unknown trackers or options.

    Raises:
        ConfigError, TypeError: the message names the key.
    """
    for name, options in options_of_trackers(config.get("track")).items():
        check_argument_names(TRACKERS[name], options, f"track.{name}")
        check_values(TRACKERS[name], options, f"track.{name}")


def choose_trackers(config: Config, names: str) -> None:
    """Writes the trackers of a flag into a config, in place; options that it has for them stay.

    Args:
        config: config of a training.
        names: one or more names, separated by commas.

    Raises:
        ConfigError: an unknown name.
    """
    current = options_of_trackers(config.get("track"))
    config.track = {name: current.get(name, {}) for name in options_of_trackers(names)}


def build_trackers(value: Any) -> list[Tracker]:
    """Builds trackers from the config key ``track``, which `check_track` has checked.

    Raises:
        ModuleNotFoundError: the package of a tracker is not installed.
    """
    trackers = []
    for name, options in options_of_trackers(value).items():
        cls = TRACKERS[name]
        if find_spec(cls.package) is None:
            raise ModuleNotFoundError(
                f"Tracking with {name} needs the package {cls.package}, which is not installed. "
                f"Install it with `pip install 'ovss[{name}]'`, or leave {name} out of track"
            )
        trackers.append(cls(**options))
    return trackers


def _are_texts(value: Any) -> bool:
    return all(isinstance(name, str) for name in value)


def _known(name: Any) -> str:
    if isinstance(name, str) and name in TRACKERS:
        return name
    close = difflib.get_close_matches(str(name), TRACKERS, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "Correct it."
    raise ConfigError(
        f"Unknown tracker {excerpt(name)} in track. {hint} Known: {', '.join(TRACKERS)}"
    )


def _options(name: str, options: Any) -> dict[str, Any]:
    if options is None or isinstance(options, Mapping):
        return dict(options or {})
    raise ConfigError(
        f"track.{name} must be dict(...) of its options, got {excerpt(options)}. Correct it"
    )

"""Checks of whole methods and plugins, one call each."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

from mmengine.config import Config

from ovss.models.configs import load_config, plugin_configs

from .contract import CONTRACT, registered_by
from .fresh import configs_name_their_plugins
from .laws import LAWS
from .report import Law
from .saving import check_saving
from .tiny import with_tiny_encoder
from .training import loss_and_prediction_work


def check_plugin(package: str) -> None:
    """Checks the contract of every class that a package registers, and every config it ships.

    Each config must build in a process that has imported only ovss, and pass `check_method`.

    Args:
        package: module that the entry point of the plugin names. Its configs are the files in its
            folder ``configs``.

    Raises:
        AssertionError: naming the config, the law and the component, or the class and the rule.
    """
    module = importlib.import_module(package)
    classes = registered_by(package)
    configs = plugin_configs(Path(module.__file__).parent) if module.__file__ else {}
    if not classes and not configs:
        raise AssertionError(
            f"importing {package} registers no component, and it has no configs. Import the "
            f"modules of the components in its __init__.py"
        )
    for cls in classes:
        check_class(cls)
    configs_name_their_plugins(configs.values(), package)
    for path in configs.values():
        check_method(path)


def check_class(cls: type) -> None:
    """Checks every rule of the contract."""
    for rule in CONTRACT:
        rule(cls)


def check_method(config: str | Path | Config) -> None:
    """Checks that a method builds, trains, predicts, obeys every law and survives being saved.

    The encoder is a tiny one.

    Args:
        config: a config, or its name or path as `ovss.load_config` takes it.

    Raises:
        AssertionError: naming the config, the law, the component and what differed.
    """
    config = config if isinstance(config, Config) else load_config(config)
    name = Path(config.filename or "the config").stem
    try:
        model = with_tiny_encoder(config)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise AssertionError(f"{name} cannot be built: {text}") from error
    checks: list[Law] = [loss_and_prediction_work, *LAWS, partial(check_saving, config=config)]
    for check in checks:
        try:
            check(model)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error

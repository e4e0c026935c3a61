"""Packages that some proposers need, installed as extras."""

from __future__ import annotations

import importlib
from types import ModuleType


def proposer_extra(module: str, extra: str, user: str) -> ModuleType:
    """Imports a package of an extra.

    Args:
        module: module to import.
        extra: name of the extra in the package's metadata.
        user: class that needs the module, for the message.

    Raises:
        ImportError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{user} needs the package {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Install it with `pip install 'ovss[{extra}]'`"
        ) from error

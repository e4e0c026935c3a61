"""Packages that some proposers need, installed as extras."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(ImportError):
    """Raised when a component needs a package of an extra that is not installed."""


def proposer_extra(module: str, extra: str, user: str) -> ModuleType:
    """Imports a package of an extra.

    Args:
        module: module to import.
        extra: name of the extra in the package's metadata.
        user: class that needs the module, for the message.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{user} needs the package {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Install it with `pip install 'ovss[{extra}]'`"
        ) from error

"""Handlers for data files that mmengine reads by their ending, replaced by ones that run no code.

`mmengine.load` constructs any Python object that a YAML file names, and unpickles ``.pkl``. Both
can run anything. Datasets and configs of other packages read files through it.
"""

from __future__ import annotations

from typing import Any

from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler

__all__ = ["register_safe_handlers", "safe_yaml"]


class _SafeYaml(YamlHandler):
    """Handler for YAML files of plain values."""

    def load_from_fileobj(self, file: Any, **options: Any) -> Any:
        return safe_yaml(file)


class _NoPickle(PickleHandler):
    """Handler that writes pickles and refuses to read them."""

    def load_from_fileobj(self, file: Any, **options: Any) -> Any:
        name = getattr(file, "name", "The file")
        raise ValueError(
            f"{name} is a pickle, which could run code when it is read. Save its content as JSON "
            f"or in a NumPy file"
        )


def register_safe_handlers() -> None:
    """Replaces mmengine's handlers of YAML and pickle files; idempotent."""
    register_handler(["yaml", "yml"])(_SafeYaml)
    register_handler(["pickle", "pkl"])(_NoPickle)


def safe_yaml(text: Any) -> Any:
    """Content of YAML: plain values only.

    Raises:
        ValueError: the text is not valid, or names a Python object.
    """
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(
            f"expected YAML of plain values ({' '.join(str(error).split())})"
        ) from None

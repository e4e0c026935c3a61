"""Registries of components, one per interface.

A registry accepts only classes of its interface, builds components from configs, and suggests the
closest name when a name or an argument is misspelt.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from mmengine.registry import Registry

from .interfaces import (
    AlignmentHead,
    Criterion,
    Decoder,
    Encoder,
    PostProcessor,
    Proposer,
    RegionEmbedder,
    Selector,
)
from .io.excerpts import excerpt
from .io.option_values import check_values
from .io.safe_handlers import register_safe_handlers

register_safe_handlers()


class ComponentRegistry(Registry):
    """Registry of one kind of component.

    Args:
        name: name of the kind in messages, such as ``"head"``.
        kind: interface that every entry must subclass.
        package: package that holds the generic components of this kind.
    """

    def __init__(self, name: str, kind: type, package: str) -> None:
        super().__init__(name, scope="ovss")
        self.kind = kind
        self.package = package

    def _register_module(
        self, module: Callable, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        if not (inspect.isclass(module) and issubclass(module, self.kind)):
            raise TypeError(
                f"{getattr(module, '__name__', module)!r} cannot be registered as {self.name}: "
                f"it must be a class that subclasses ovss.interfaces.{self.kind.__name__}."
            )
        super()._register_module(module, module_name, force)

    def find(self, name: str) -> type:
        """Class registered under a name.

        Raises:
            KeyError: an unknown name. The message suggests the closest names, and how to import a
                plugin.
        """
        register_all()
        if name in self.module_dict:
            return self.module_dict[name]
        close = difflib.get_close_matches(name, self.module_dict, n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {self.names()}."
        raise KeyError(
            f"Unknown {self.name} {excerpt(name)}. {hint} If a plugin provides it, import the "
            f"plugin in the config with custom_imports = dict(imports=['the_plugin'])."
        )

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self.module_dict)

    def build(self, cfg: dict, **defaults: Any) -> Any:
        """Builds a component.

        Args:
            cfg: ``dict(type=NAME_OR_CLASS, **arguments)``, or a component, which is returned as it
                is.
            defaults: arguments that `cfg` may override.

        Raises:
            KeyError: an unknown name, or a config without ``type``.
            TypeError: a class of another kind, or an unknown or missing argument. The message
                shows the signature of the class.
        """
        if isinstance(cfg, self.kind):
            return cfg
        if not isinstance(cfg, dict) or "type" not in cfg:
            raise KeyError(
                f"The config of the {self.name} must be dict(type=..., ...), got {excerpt(cfg)}. "
                f"Set `type` to a registered name."
            )
        arguments = {**defaults, **cfg}
        cls = arguments.pop("type")
        arguments.pop("_scope_", None)
        cls = self.find(cls) if isinstance(cls, str) else cls
        if not (inspect.isclass(cls) and issubclass(cls, self.kind)):
            raise TypeError(f"The {self.name} must be a {self.kind.__name__}, got {excerpt(cls)}.")
        check_arguments(cls, arguments)
        return cls(**arguments)


def check_arguments(cls: Callable, arguments: dict) -> None:
    """Checks that ``cls(**arguments)`` is a valid call, without making it.

    Raises:
        TypeError: an unknown or missing argument, or one of another type than its annotation. The
            message suggests the closest argument name and shows the signature.
        ValueError: a number that is NaN.
    """
    signature = inspect.signature(cls)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        unknown = [key for key in arguments if key not in signature.parameters]
        missing = [
            repr(key)
            for key, parameter in signature.parameters.items()
            if parameter.default is parameter.empty and key not in arguments
        ]
        refused = f"does not take {excerpt(unknown)}" if unknown else ""
        lacking = f"is missing {' and '.join(missing)}" if missing else ""
        close = [
            f"Did you mean {match[0]!r} instead of {key!r}?"
            for key in unknown
            if (match := difflib.get_close_matches(key, signature.parameters, n=1))
        ]
        name = getattr(cls, "__name__", str(cls))
        wrong = " and ".join(filter(None, (refused, lacking))) or f"refuses its options: {error}"
        parts = [f"{name} {wrong}.", *close, f"The signature is {name}{signature}."]
        raise TypeError(" ".join(parts)) from None
    check_values(cls, arguments, getattr(cls, "__name__", str(cls)))


ENCODERS = ComponentRegistry("encoder", Encoder, "ovss.encoders")
SELECTORS = ComponentRegistry("selector", Selector, "ovss.selectors")
HEADS = ComponentRegistry("head", AlignmentHead, "ovss.heads")
DECODERS = ComponentRegistry("decoder", Decoder, "ovss.decoders")
POSTPROCESSORS = ComponentRegistry("post-processor", PostProcessor, "ovss.postprocessors")
LOSSES = ComponentRegistry("loss", Criterion, "ovss.losses")
PROPOSERS = ComponentRegistry("proposer", Proposer, "ovss.proposers")
EMBEDDERS = ComponentRegistry("region embedder", RegionEmbedder, "ovss.embedders")

REGISTRIES = (
    ENCODERS,
    SELECTORS,
    HEADS,
    DECODERS,
    POSTPROCESSORS,
    LOSSES,
    PROPOSERS,
    EMBEDDERS,
)


def register_all() -> None:
    """Imports the generic components of every kind. Repeated calls cost almost nothing."""
    for registry in REGISTRIES:
        importlib.import_module(registry.package)

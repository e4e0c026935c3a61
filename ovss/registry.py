"""Registries, one per interface: they refuse the wrong kind and help with wrong names."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from mmengine.registry import Registry

from .interfaces import AlignmentHead, Criterion, Decoder, Encoder, PostProcessor, Selector


class ComponentRegistry(Registry):
    """A registry of one kind of component.

    Args:
        name: the word for one entry, used in messages.
        kind: the interface that every entry must subclass.
        package: where the generic components of this kind live.
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
                f"it must be a class that subclasses ovss.interfaces.{self.kind.__name__}"
            )
        super()._register_module(module, module_name, force)

    def find(self, name: str) -> type:
        """The class registered as `name`.

        Raises:
            KeyError: with the closest names, and where a plugin's name has to be written.
        """
        register_all()
        if name in self.module_dict:
            return self.module_dict[name]
        close = difflib.get_close_matches(name, self.module_dict, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {self.names()}."
        raise KeyError(
            f"no {self.name} is called {name!r}; {hint} If it is in a plugin, name the plugin's "
            f"module in the config: custom_imports = dict(imports=['the_plugin'])"
        )

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        return sorted(self.module_dict)

    def build(self, cfg: dict, **defaults: Any) -> Any:
        """Make a component of ``dict(type=NAME_OR_CLASS, **arguments)``.

        Raises:
            KeyError: the name is not registered, or ``type`` is missing.
            TypeError: the type is of another kind, or an argument is unknown or missing; the
                message shows the class's signature.
        """
        if isinstance(cfg, self.kind):
            return cfg
        if not isinstance(cfg, dict) or "type" not in cfg:
            raise KeyError(f"a {self.name} is configured by dict(type=..., ...), got {cfg!r}")
        arguments = {**defaults, **cfg}
        cls = arguments.pop("type")
        arguments.pop("_scope_", None)
        cls = self.find(cls) if isinstance(cls, str) else cls
        if not (inspect.isclass(cls) and issubclass(cls, self.kind)):
            raise TypeError(f"{cls!r} is no {self.name}: it must be a {self.kind.__name__}")
        check_arguments(cls, arguments)
        return cls(**arguments)


def check_arguments(cls: Callable, arguments: dict) -> None:
    """Raise TypeError, with signature and closest key, if `cls(**arguments)` cannot work."""
    signature = inspect.signature(cls)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        unknown = [key for key in arguments if key not in signature.parameters]
        close = [
            f"{key!r}: did you mean {match[0]!r}?"
            for key in unknown
            if (match := difflib.get_close_matches(key, signature.parameters, n=1))
        ]
        name = getattr(cls, "__name__", str(cls))
        raise TypeError(" ".join([f"{name}: {error}.", *close, f"{name}{signature}"])) from None


ENCODERS = ComponentRegistry("encoder", Encoder, "ovss.encoders")
SELECTORS = ComponentRegistry("selector", Selector, "ovss.selectors")
HEADS = ComponentRegistry("head", AlignmentHead, "ovss.heads")
DECODERS = ComponentRegistry("decoder", Decoder, "ovss.decoders")
POSTPROCESSORS = ComponentRegistry("post-processor", PostProcessor, "ovss.postprocessors")
LOSSES = ComponentRegistry("loss", Criterion, "ovss.losses")

REGISTRIES = (ENCODERS, SELECTORS, HEADS, DECODERS, POSTPROCESSORS, LOSSES)


def register_all() -> None:
    """Import the generic components of every kind. Cheap after the first time."""
    for registry in REGISTRIES:
        importlib.import_module(registry.package)

"""Rules for the classes of components, as functions that any test can call.

Each takes a registered class and raises AssertionError if it breaks the rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from ovss.interfaces import SplicedEncoder
from ovss.registry import REGISTRIES

KINDS = (*(registry.kind for registry in REGISTRIES), SplicedEncoder)
"""The interfaces: a component subclasses exactly one."""


def has_exactly_one_interface_as_base(cls: type) -> None:
    """Requires exactly one interface as the only base class."""
    bases = [base.__name__ for base in cls.__bases__]
    kinds = ", ".join(kind.__name__ for kind in KINDS)
    assert cls.__bases__ in {(kind,) for kind in KINDS}, (
        f"{_where(cls)} subclasses {', '.join(bases)}, but must subclass exactly one of {kinds}. "
        f"Share code by calling functions or holding modules"
    )


def init_is_annotated_without_kwargs(cls: type) -> None:
    """Requires an `__init__` that names and annotates every argument."""
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), (
            f"{_where(cls)}.__init__ takes {parameter}, so that a misspelt key is not found. Write "
            f"one that names every argument"
        )
        assert parameter.annotation is not parameter.empty, (
            f"{_where(cls)}.__init__ has an argument without annotation. Annotate the "
            f"argument {parameter.name!r}"
        )


def is_concrete_and_documented(cls: type) -> None:
    """Requires a definition of every abstract method, and a docstring."""
    missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
    assert not missing, f"{_where(cls)} does not define {missing}"
    assert cls.__doc__, f"{_where(cls)} has no docstring: its first line is what `ovss list` shows"


def is_registered(cls: type) -> None:
    """Requires an entry in the registry of its kind, under any name."""
    registries = [registry for registry in REGISTRIES if issubclass(cls, registry.kind)]
    assert any(cls in registry.module_dict.values() for registry in registries), (
        f"{_where(cls)} is not registered, so that no config can name it. Decorate it with "
        f"register_module() of the registry for its kind"
    )


def overrides_only_what_its_interface_leaves_open(cls: type) -> None:
    """Forbids overriding what the interface itself implements."""
    kind = cls.__bases__[0]
    abstract: frozenset[str] = getattr(kind, "__abstractmethods__", frozenset())
    declared = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}
    optional = {name for name in dir(kind) if hasattr(getattr(kind, name), "is_optional")}
    left_open = {*abstract, *declared, *optional, "train"}
    clashes = {
        name
        for name in vars(cls)
        if not name.startswith("_") and hasattr(kind, name) and name not in left_open
    }
    assert not clashes, f"{_where(cls)} overrides {', '.join(sorted(clashes))} of {kind.__name__}"


CONTRACT: tuple[Callable[[type], None], ...] = (
    has_exactly_one_interface_as_base,
    is_concrete_and_documented,
    init_is_annotated_without_kwargs,
    is_registered,
    overrides_only_what_its_interface_leaves_open,
)


def registered_by(package: str = "") -> list[type]:
    """Registered classes that a package or one of its modules defines; without one, all."""
    return sorted(
        {
            cls
            for registry in REGISTRIES
            for cls in registry.module_dict.values()
            if not package or f"{cls.__module__}.".startswith(f"{package}.")
        },
        key=lambda cls: (cls.__module__, cls.__name__),
    )


def _where(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"

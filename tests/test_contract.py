"""What the interfaces promise about classes, checked on every registered one."""

from __future__ import annotations

import inspect

import pytest

import ovss.testing  # noqa: F401  (registers its encoder)
from ovss.interfaces import AlignmentHead, Decoder, Encoder, PostProcessor, Selector
from ovss.models import list_configs, load_config
from ovss.registry import REGISTRIES, register_all

KINDS = {Encoder, Selector, AlignmentHead, Decoder, PostProcessor}

register_all()
for _name in list_configs():
    load_config(_name)
COMPONENTS = sorted(
    {cls for registry in REGISTRIES for cls in registry.module_dict.values()},
    key=lambda cls: (cls.__module__, cls.__name__),
)


@pytest.mark.parametrize("cls", COMPONENTS, ids=lambda cls: cls.__name__)
class TestEveryComponent:
    def test_has_exactly_one_interface_as_base(self, cls):
        assert len(cls.__bases__) == 1
        assert cls.__bases__[0] in KINDS

    def test_init_is_annotated_without_kwargs(self, cls):
        for parameter in inspect.signature(cls).parameters.values():
            assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            assert parameter.annotation is not parameter.empty, parameter

    def test_is_concrete_and_documented(self, cls):
        assert not inspect.isabstract(cls)
        assert cls.__doc__

    def test_is_registered_under_its_own_name(self, cls):
        assert any(registry.module_dict.get(cls.__name__) is cls for registry in REGISTRIES)

    def test_overrides_only_what_its_interface_leaves_open(self, cls):
        (kind,) = cls.__bases__
        public = {name for name in vars(cls) if not name.startswith("_")}
        clashes = {
            name
            for name in public
            if hasattr(kind, name)
            and name not in kind.__abstractmethods__
            and name not in getattr(kind, "__annotations__", {})
        }
        assert not clashes - {"train"}

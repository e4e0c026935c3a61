"""What the interfaces promise about classes, checked on every registered one."""

from __future__ import annotations

import pytest

from ovss import DECODERS, SELECTORS, Decoder
from ovss.interfaces import SplicedEncoder
from ovss.models.configs import load_config, shipped_configs
from ovss.registry import REGISTRIES, register_all
from ovss.testing import check_class
from ovss.testing.contract import CONTRACT, KINDS, registered_by

register_all()
for _name in shipped_configs():
    load_config(_name)


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("cls", registered_by(), ids=lambda cls: cls.__name__)
def test_every_component(cls, rule):
    rule(cls)


class Plain(Decoder):
    "Keeps its promises."

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()

    def forward(self, aligned):
        return aligned


class Heir(Plain):
    "Has a component for its base."


class Loose(Decoder):
    "Takes whatever comes."

    def __init__(self, **options: int) -> None:
        super().__init__()

    def forward(self, aligned):
        return aligned


class Unannotated(Decoder):
    "Has an argument without annotation."

    def __init__(self, scale) -> None:
        super().__init__()

    def forward(self, aligned):
        return aligned


class Half(Decoder):
    "Cannot decode."


class Silent(Decoder):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, aligned):
        return aligned


class Clash(Decoder):
    "Changes what every module does."

    def __init__(self) -> None:
        super().__init__()

    def forward(self, aligned):
        return aligned

    def parameters(self, recurse: bool = True):
        return iter(())


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Plain, ""),
        (Heir, "must subclass exactly one of"),
        (Loose, "names every argument"),
        (Unannotated, "Annotate the argument 'scale'"),
        (Half, "does not define forward"),
        (Silent, "has no docstring"),
        (Clash, "overrides parameters of Decoder"),
    ],
)
def test_a_broken_promise_is_named(cls, message, monkeypatch):
    monkeypatch.setitem(DECODERS.module_dict, cls.__name__, cls)
    if not message:
        check_class(cls)
    else:
        with pytest.raises(AssertionError, match=f"{cls.__name__}.*{message}"):
            check_class(cls)


def test_a_class_that_no_config_can_name_breaks_the_contract():
    with pytest.raises(AssertionError, match="Plain is not registered"):
        check_class(Plain)


def test_a_class_may_be_registered_under_a_short_name(monkeypatch):
    monkeypatch.setitem(DECODERS.module_dict, "plain", Plain)
    check_class(Plain)


def test_a_class_in_the_registry_of_another_kind_breaks_the_contract(monkeypatch):
    monkeypatch.setitem(SELECTORS.module_dict, "Plain", Plain)
    with pytest.raises(AssertionError, match="Plain is not registered"):
        check_class(Plain)


def test_every_interface_with_a_registry_is_allowed_as_base():
    assert [*(registry.kind for registry in REGISTRIES), SplicedEncoder] == list(KINDS)

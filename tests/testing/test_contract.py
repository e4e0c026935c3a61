"""What the interfaces promise about classes, checked on every registered one."""

from __future__ import annotations

import pytest

from ovss import DECODERS, Decoder
from ovss.models.configs import load_config, shipped_configs
from ovss.registry import register_all
from ovss.testing import check_class
from ovss.testing.contract import CONTRACT, registered_by

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


class Untold(Decoder):
    "Does not say what it takes."

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
    ("cls", "told"),
    [
        (Plain, ""),
        (Heir, "must subclass exactly one of"),
        (Loose, "names every argument"),
        (Untold, "annotate the argument 'scale'"),
        (Half, "does not define forward"),
        (Silent, "has no docstring"),
        (Clash, "overrides parameters of Decoder"),
    ],
)
def test_a_broken_promise_is_named(cls, told, monkeypatch):
    monkeypatch.setitem(DECODERS.module_dict, cls.__name__, cls)
    if not told:
        check_class(cls)
    else:
        with pytest.raises(AssertionError, match=f"{cls.__name__}.*{told}"):
            check_class(cls)


def test_a_class_that_nobody_can_name_is_no_component():
    with pytest.raises(AssertionError, match="Plain is not registered"):
        check_class(Plain)

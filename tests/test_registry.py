from __future__ import annotations

import pytest
from torch import nn

from ovss.heads import CosineHead
from ovss.registry import DECODERS, HEADS, POSTPROCESSORS, SELECTORS, register_all


def test_wrong_kind_is_refused():
    with pytest.raises(TypeError, match=r"Linear.*AlignmentHead"):
        HEADS.register_module(module=nn.Linear)
    with pytest.raises(TypeError, match=r"CosineHead.*Selector"):
        SELECTORS.register_module(module=CosineHead)


def test_a_function_is_not_a_component():
    with pytest.raises(TypeError, match="must be a class"):
        DECODERS.register_module(module=lambda aligned: aligned)


def test_unknown_name_suggests_the_closest_and_where_plugins_are_named():
    with pytest.raises(KeyError, match=r"Did you mean CosineHead or RegionHead\?.*custom_imports"):
        HEADS.build(dict(type="CosinHead"))


def test_unknown_key_names_class_signature_and_closest_key():
    with pytest.raises(
        TypeError,
        match=r"CosineHead.*Did you mean 'num_templates' instead of 'num_templats'.*ensemble",
    ):
        HEADS.build(dict(type="CosineHead", num_templats=2))


def test_missing_argument_names_the_class():
    with pytest.raises(TypeError, match=r"ClipTopK.*missing.*'k'"):
        SELECTORS.build(dict(type="ClipTopK"))


def test_type_of_another_kind_is_refused_at_build():
    with pytest.raises(TypeError, match="must be a Selector"):
        SELECTORS.build(dict(type=CosineHead))


def test_config_without_type():
    with pytest.raises(KeyError, match="dict\\(type="):
        POSTPROCESSORS.build(dict(k=3))


def test_ready_components_pass_through():
    head = CosineHead()
    assert HEADS.build(head) is head


def test_a_foreign_default_scope_does_not_disturb(recwarn):
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmseg"):
        assert isinstance(HEADS.build(dict(type="CosineHead")), CosineHead)
    assert not [w for w in recwarn if "scope" in str(w.message)]


def test_registering_everything_twice_changes_nothing():
    register_all()
    before = HEADS.names()
    register_all()
    assert HEADS.names() == before

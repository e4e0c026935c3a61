"""Overrides: dotted keys, indices of lists, and values that replace others."""

from __future__ import annotations

import pytest
from mmengine.config import Config, ConfigDict

from ovss.models.config_merge import merged
from ovss.models.config_source import ConfigError
from ovss.models.configs import load_config, override
from tests.tiny_config import TINY


def config() -> Config:
    steps = [{"type": "A", "n": 1}, {"type": "B"}]
    return Config({"steps": steps, "head": {"type": "C", "k": 2}, "grad": None, "plain": 3})


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("steps.0.n", 5, {"type": "A", "n": 5}),
        ("head.map", {0: 1}, {"type": "C", "k": 2, "map": {0: 1}}),
        ("head", {"_delete_": True, "type": "D"}, {"type": "D"}),
        ("grad", {"max_norm": 1}, {"max_norm": 1}),
        ("plain", [1], [1]),
        ("new.inner.key", "x", {"inner": {"key": "x"}}),
    ],
)
def test_a_value_is_set(key, value, found):
    changed = config()
    override(changed, {key: value})
    name = key.partition(".")[0]
    assert (changed["steps"][0] if name == "steps" else changed[name]) == found
    others = {key: value for key, value in changed.to_dict().items() if key != name}
    assert others == {key: value for key, value in config().to_dict().items() if key != name}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"_base_": "x.py"}, "bases of a config are set in its file"),
        ({"_size": 3}, "_size is a helper variable"),
        ({"steps.7.n": 1}, "item 7 does not exist in a list of 2"),
        ({"steps.n": 1}, r"steps is \[\{'type': 'A'.* cannot extend"),
        ({"plain.x": 1}, "plain is 3 in the base"),
        ({"head": 3, "head.k": 1}, "head.k is set twice"),
        ({"head.k": 1, "head": {}}, "head is set twice"),
        ({3: 1}, "must be names with dots between them.* got 3"),
        ({"a..b": 1}, "names with dots"),
        ([("a", 1)], "overrides must be a dict"),
    ],
)
def test_what_cannot_be_set_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        override(config(), overrides)


def test_merging_changes_neither_side():
    base, own = ConfigDict(a=ConfigDict(b=1, c=[ConfigDict(d=2)])), {"b": 5, "c": {"0": {"d": 3}}}
    assert merged(own, base.a) == {"b": 5, "c": [{"d": 3}]}
    assert base.a == {"b": 1, "c": [{"d": 2}]}
    assert own == {"b": 5, "c": {"0": {"d": 3}}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: &x [*x]\n", "nests its values too deeply"),
        ("a.json", "[" * 20_000, "nest too deeply"),
        ("a.json", '{"model": {"type": null}}', "a.json: Unknown segmentor None"),
        ("a.py", "model = " + repr("x" * 9000), r"got 'x+\.+ Set it"),
        ("a.py", "_base_ = ['b.py']\ntrain_cfg = {1: 2}", "a.py: Keys of train_cfg"),
    ],
)
def test_the_file_is_named_and_values_are_cut(tmp_path, name, text, message):
    from ovss.training.validation import check_builds

    (tmp_path / "b.py").write_text(TINY + "train_cfg = None\n")
    (tmp_path / name).write_text(text)
    with pytest.raises((ConfigError, KeyError, TypeError), match=message) as caught:
        check_builds(load_config(tmp_path / name))
    assert len(str(caught.value)) < 600


def test_a_yaml_file_of_billions_of_values_is_refused(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"more than 1,000,000 values"):
        load_config(tmp_path / "bomb.yaml")

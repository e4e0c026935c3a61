"""Configs against the plain dicts that they must become."""

from __future__ import annotations

import pytest

from ovss.models.configs import load_config, read_config, use_dataset

BASE = """
component = dict(type="A", left=1, right=[1, 2], inner=dict(deep=1, other=2))
kept = dict(value=3)
"""


@pytest.fixture
def written(tmp_path):
    """Function that writes a config on top of `BASE` and reads it as a dict."""

    def read(text: str) -> dict:
        (tmp_path / "base.py").write_text(BASE)
        (tmp_path / "own.py").write_text(f"_base_ = ['base.py']\n{text}")
        return read_config(tmp_path / "own.py").to_dict()

    return read


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("", dict(type="A", left=1, right=[1, 2], inner=dict(deep=1, other=2))),
        (
            "component = dict(left=5, inner=dict(deep=7))",
            dict(type="A", left=5, right=[1, 2], inner=dict(deep=7, other=2)),
        ),
        ("component = dict(right=[9])", None),
        ("component = dict(type='B', _delete_=True, new=4)", dict(type="B", new=4)),
        (
            "component = dict(inner=dict(_delete_=True, only=1))",
            dict(type="A", left=1, right=[1, 2], inner=dict(only=1)),
        ),
        ("other = dict(_delete_=True, a=1)", None),
        ("other = dict(_delete_=True, a=dict(b=dict(_delete_=True, c=1)))", dict(b=dict(c=1))),
    ],
)
def test_merging(written, text, component):
    expected = dict(
        component=dict(type="A", left=1, right=[1, 2], inner=dict(deep=1, other=2)),
        kept=dict(value=3),
    )
    if text.startswith("other"):
        expected["other"] = dict(a=component or 1)
    elif component is not None:
        expected["component"] = component
    elif "right" in text:
        expected["component"]["right"] = [9]
    assert written(text) == expected


def test_two_blocks_of_one_value_are_changed_apart(tmp_path):
    (tmp_path / "base.py").write_text("val = dict(a=1, b=[1])\ntest = val\n")
    (tmp_path / "own.py").write_text("_base_ = ['base.py']\ntest = dict(a=2)\n")
    config = read_config(tmp_path / "own.py")
    assert config.to_dict() == dict(val=dict(a=1, b=[1]), test=dict(a=2, b=[1]))
    config = read_config(tmp_path / "base.py")
    config.test.b.append(2)
    config.test.a = 5
    assert config.val.to_dict() == dict(a=1, b=[1])


def test_overrides_win_and_leave_everything_else():
    before = load_config("cat_seg_mini").to_dict()
    after = load_config("cat_seg_mini", {"model.decoder.dim": 48, "ema.momentum": 0.5}).to_dict()
    assert after["model"]["decoder"].pop("dim") == 48
    assert after.pop("ema") == {"momentum": 0.5}
    before["model"]["decoder"].pop("dim")
    assert after == before


def test_a_dataset_comes_with_its_metric(tmp_path):
    path = tmp_path / "data.py"
    path.write_text(
        "test_dataloader = dict(dataset=dict(type='Mine'))\n"
        "test_evaluator = dict(type='OpenVocabIoU', seen=['cat'])\n"
        "val_dataloader = dict(dataset=dict(type='Other'))\n"
    )
    config = load_config("cat_seg_mini")
    validation = config.val_dataloader.to_dict()
    use_dataset(config, str(path))
    assert config.test_dataloader.to_dict() == dict(dataset=dict(type="Mine"))
    assert config.test_evaluator.to_dict() == dict(type="OpenVocabIoU", seen=["cat"])
    assert config.val_dataloader.to_dict() == validation

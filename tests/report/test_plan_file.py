"""Plan files: what is read, and that everything else is one line with the key in it."""

from __future__ import annotations

import json

import pytest

from ovss.report.plan import AblationRow, ComparedMethod
from ovss.report.plan_file import PlanError, read_plan

PLAN = """
title: Two methods
methods:
  - maskclip_mini
  - {config: "dcp_clip_mini,model.selector.threshold=0.2", weights: a.pth, label: low}
datasets: [mini_20]
categories: [20, 150]
images: 5
within: 1.5
ablations:
  - title: Parts
    published: IV
    full: full
    results: outputs/rows
    note: 1,000 steps
    rows:
      - {row: full, config: dcp_clip_mini, weights: {0: a.pth, 1: b.pth}}
      - {row: none, config: none.py, title: none, published: none}
  - {title: Thresholds, config: dcp_clip_mini, thresholds: [0, 0.5]}
"""


def written(folder, text, name="plan.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_plan(tmp_path):
    plan = read_plan(written(tmp_path, PLAN))
    assert plan.methods[0] == ComparedMethod("maskclip_mini")
    assert plan.methods[1].label == "low"
    assert (plan.images, plan.within, plan.categories) == (5, 1.5, (20, 150))
    first, second = plan.ablations
    weights = {"0": "a.pth", "1": "b.pth"}
    assert first.rows[0] == AblationRow("full", "dcp_clip_mini", weights=weights)
    assert (first.note, second.thresholds) == ("1,000 steps", (0.0, 0.5))


def test_json_is_a_plan_too(tmp_path):
    content = {"methods": ["a"], "datasets": ["b"], "categories": []}
    plan = read_plan(written(tmp_path, json.dumps(content), "plan.json"))
    assert plan.categories == ()


def test_the_plan_of_this_project_is_read(repo_root):
    plan = read_plan(repo_root / "benchmarks/report.yaml")
    assert len(plan.methods) == 11
    assert [group.published for group in plan.ablations] == [
        "III", "IV", "V", "VI a", "VI b", "VI c", "VII",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("datasets:", "dataset:"), "Unknown key 'dataset' in the plan .* mean 'datasets'"),
        (("label: low", "lable: low"), "Unknown key 'lable' in a method .* mean 'label'"),
        (("row: full, c", "name: full, c"), "Unknown key 'name' in row 1 of ablation 1"),
        (("images: 5", "images: 0"), "images must be an integer from 1"),
        (("images: 5", "images: true"), "images must be an integer from 1"),
        (("within: 1.5", "within: near"), "within must be from 0"),
        (("categories: [20, 150]", "categories: 20"), "categories of the plan must be a list"),
        (("full: full", "full: all"), "full of ablation 1 names no row"),
        (("[0, 0.5]", "[0, 5]"), "thresholds of ablation 2 must be from 0 to 1"),
        (("row: none", "row: full"), "ablation 1 has two rows of one name"),
        (("  - maskclip_mini", "  - [a]"), "a method must hold keys and values"),
        (("title: Two methods", 'title: "a\\nb"'), "control character"),
        ((PLAN, "methods: []\ndatasets: [a]"), "needs at least one of 'methods'"),
        ((PLAN, "- a"), "the plan must hold keys and values"),
        ((PLAN, "a: [1"), "cannot be read"),
        ((PLAN, "!!python/object/apply:os.system [ls]"), "cannot be read"),
        ((PLAN, "methods: [a]\ndatasets: [b]\nablations: [{title: x}]"), "either 'rows'"),
    ],
)
def test_wrong_plans(tmp_path, change, message):
    with pytest.raises(PlanError, match=message) as caught:
        read_plan(written(tmp_path, PLAN.replace(*change)))
    assert "\n" not in str(caught.value)
    assert "plan.yaml" in str(caught.value)


def test_other_files(tmp_path):
    with pytest.raises(PlanError, match=r"ending in \.yaml"):
        read_plan(written(tmp_path, PLAN, "plan.py"))
    with pytest.raises(FileNotFoundError):
        read_plan(tmp_path / "absent.yaml")

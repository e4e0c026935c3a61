"""Result files that come with the project are those of the configs that its plans name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from ovss.models.configs import load_config
from ovss.report.plan_file import read_plan
from ovss.report.row_results import files_of_row
from ovss.results.recorded_config import read_recorded_config
from ovss.results.result_file import read_result

ROOT = Path(__file__).resolve().parents[2]
PLANS = ("report", "report_web")


@lru_cache
def groups():
    """Groups of ablations of both plans that read result files."""
    plans = [read_plan(ROOT / "benchmarks" / f"{name}.yaml") for name in PLANS]
    return [group for plan in plans for group in plan.ablations if group.results]


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.title)
def test_rows_were_evaluated_with_their_configs_on_the_same_labels(group, monkeypatch):
    monkeypatch.chdir(ROOT)  # plans name configs by their paths in the checkout
    censuses = set()
    for row in group.rows:
        for _, path in files_of_row(group, row):
            result = read_result(path)
            recorded = read_recorded_config(result.config, path.name)
            assert recorded.model == load_config(row.config).model, f"{path.name}: evaluate again"
            censuses.add(result.data.census)
    assert len(censuses) == 1


def test_every_result_file_is_a_row_of_a_plan(monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = [(group, row) for group in groups() for row in group.rows]
    known = {path for group, row in rows for _, path in files_of_row(group, row)}
    assert known == set(Path("benchmarks/results").rglob("*.json"))

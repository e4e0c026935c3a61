"""The example in docs/labelling.md reads a run."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("pyarrow", reason="needs the extra label")
pytest.importorskip("pandas", reason="the example uses pandas")

from ovss.labelling.rows import shard_schema
from tests.labelling.runs import inline, label, make_photos


def test_the_documented_example_reads_a_run(tmp_path, monkeypatch, repo_root, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ovss.cli.label._engine", inline)
    make_photos(tmp_path / "photos", 3)
    assert label("photos", "--out", "labels") == 0
    page = (repo_root / "docs" / "labelling.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    capsys.readouterr()
    exec(compile(example, "docs/labelling.md", "exec"), {})
    assert re.fullmatch(r"photos/0\.png \d \d+ pixels\n", capsys.readouterr().out)


def test_every_column_is_documented(repo_root):
    page = (repo_root / "docs" / "labelling.md").read_text()
    for field in shard_schema():
        assert f"`{field.name}`" in page, field.name

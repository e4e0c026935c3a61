"""The list of long test files, which decides what two workers begin with."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONGEST


def test_the_longest_files_exist_and_are_listed_once(repo_root: Path):
    assert [file for file in LONGEST if not (repo_root / file).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)

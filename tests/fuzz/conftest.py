"""Valid material for all cases, and their counts at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .report import Counts

COUNTS = Counts()


@pytest.fixture(scope="session")
def counts() -> Counts:
    return COUNTS


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Path:
    from .material import make_material
    from .runner import warm_up

    warm_up()
    return make_material(tmp_path_factory.mktemp("material"))


def pytest_terminal_summary(terminalreporter) -> None:
    if COUNTS.cases:
        terminalreporter.section("fuzz")
        for line in COUNTS.lines():
            terminalreporter.write_line(line)

"""What every test gets: a seed, few threads, a text cache of its own, and the shared data."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

LONGEST = (
    "tests/training/test_tracking.py",
    "tests/report/test_report_page.py",
    "tests/models/test_configs.py",
    "tests/snippets/test_snippets.py",
    "tests/labelling/test_label_workers.py",
    "tests/labelling/test_label_command.py",
    "tests/benchmark/test_work.py",
    "tests/training/test_training.py",
    "tests/testing/test_laws.py",
    "tests/hub/test_download.py",
    "tests/models/test_cross_product.py",
    "tests/models/test_waits.py",
    "tests/test_distributed.py",
    "tests/hub/test_model_cards.py",
    "tests/parity/test_cat_seg.py",
    "tests/web/test_page_server.py",
    "tests/export/test_export.py",
    "tests/report/test_filed_results.py",
    "tests/parity/test_cat_seg_plain.py",
)
"""Files of tests that take most processor time, longest first.

They start first, so that no worker still runs one of them when the others have finished. Measure
with ``make test ARGS=--durations=0``.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--device", default="cuda", help="device of the tests in tests/device")


def pytest_configure(config: pytest.Config) -> None:
    """Tests never read or fill the user's text cache; commands that they start inherit this.

    Every worker of pytest-xdist is a process that calls this, so that each has a cache of its own.
    """
    config.ovss_cache = tempfile.mkdtemp(prefix="ovss-test-cache-")  # type: ignore[attr-defined]
    os.environ["OVSS_CACHE_DIR"] = config.ovss_cache  # type: ignore[attr-defined]
    os.environ["OVSS_TUNE"] = "off"  # the same kernels in every run
    shared = bool(config.getoption("numprocesses", None)) or "PYTEST_XDIST_WORKER" in os.environ
    if shared:  # workers, and commands that they start, inherit it
        os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1 if shared else min(torch.get_num_threads(), 2))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test of a config or component whose extra is not installed is skipped."""
    from ovss.proposers.extras import MissingExtraError

    try:
        return (yield)
    except MissingExtraError as error:
        pytest.skip(str(error))


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.ovss_cache, ignore_errors=True)  # type: ignore[attr-defined]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rank = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same numbers whatever ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference outputs and data sets kept beside the repository, not in it."""
    place = Path(os.environ.get("OVSS_SHARED_DATA", ROOT.parent / "shared"))
    if not place.is_dir():
        pytest.skip(f"no shared data at {place}: set OVSS_SHARED_DATA to run this test")
    return place


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Working directory with a tiny config and two images in the folder `photos`."""
    from tests.cli.segmenting import save_image
    from tests.tiny_config import write_tiny_config

    monkeypatch.chdir(tmp_path)
    write_tiny_config(tmp_path)
    save_image(tmp_path / "photos" / "one.png")
    save_image(tmp_path / "photos" / "two.jpg", size=(30, 20))
    return tmp_path

"""Numbers of rows at a time: measured in passing, never at the cost of a row."""

from __future__ import annotations

import pytest
import torch

from ovss.kernels import Portions, choices_file, set_tuning
from ovss.kernels import operation as module
from ovss.kernels import portions as timing


@pytest.fixture(autouse=True)
def own_choices(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "_CHOICES", module.Choices())
    set_tuning(True)
    yield
    set_tuning(None)


class Clock:
    """Time that passes only when rows are processed: a fixed cost and a cost that grows."""

    def __init__(self, monkeypatch, cost):
        self.now, self.cost = 0.0, cost
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def run(self, portions, total, default=4, shape=()):
        """Sizes of the portions of one loop, which must cover every row once."""
        parts = []
        for part in portions(total, default, shape):
            self.now += self.cost(part.stop - part.start)
            parts.append(part)
        rows = [row for part in parts for row in range(part.start, part.stop)]
        assert rows == list(range(total))
        return [part.stop - part.start for part in parts]


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        (lambda n: 1 + 0.1 * n, 16),  # calls cost most
        (lambda n: n**2, 1),  # the cache is small
        (lambda n: 1 + n + n**2 / 16, 4),
    ],
)
def test_the_fastest_size_is_found_while_the_work_is_done(monkeypatch, cost, best):
    clock, portions = Clock(monkeypatch, cost), Portions("loop")
    for _ in range(10):
        sizes = clock.run(portions, 32)
    assert sizes == [best] * (32 // best)
    assert choices_file().exists()
    assert clock.run(Portions("loop"), 32) == sizes  # another process
    assert set(clock.run(Portions("other"), 32)) != {best}


def test_sizes_above_the_number_of_rows_are_not_tried(monkeypatch):
    clock, portions = Clock(monkeypatch, lambda n: 1.0), Portions("loop")
    for _ in range(20):
        sizes = clock.run(portions, 9)
    assert sizes == [8, 1]


def test_another_class_of_rows_is_measured_by_itself(monkeypatch):
    clock, portions = Clock(monkeypatch, lambda n: 1.0), Portions("loop")
    for _ in range(10):
        clock.run(portions, 32, shape=(24, 24))
    assert len(set(clock.run(portions, 32, shape=(48, 48)))) > 1


def test_only_the_timed_part_counts(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.0)
    portions = Portions("loop")
    for _ in range(10):
        sizes = []
        for part in portions(32, 4, ()):
            size = part.stop - part.start
            sizes.append(size)
            with portions.timed():
                clock.now += size + 0.5 * (size != 8)
            clock.now += 100 * size  # depends on the content
    assert set(sizes) == {8}


def test_without_tuning_sizes_are_fixed(monkeypatch):
    set_tuning(False)
    clock = Clock(monkeypatch, lambda n: 1.0)
    assert clock.run(Portions("loop"), 10) == [4, 4, 2]
    assert clock.run(Portions("loop"), 0) == []
    assert not choices_file().exists()


def test_no_rows_and_few_rows(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 1.0)
    for total in (0, 1, 2, 3):
        for _ in range(3):
            clock.run(Portions("loop"), total)


def test_the_number_of_threads_is_part_of_the_class(monkeypatch):
    clock, portions = Clock(monkeypatch, lambda n: 1.0), Portions("loop")
    for _ in range(10):
        clock.run(portions, 32)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert len(set(clock.run(portions, 32))) > 1

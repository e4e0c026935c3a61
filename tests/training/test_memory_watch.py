"""Memory that will not suffice is announced, with the flag, before the system ends the process."""

from __future__ import annotations

import resource
import time

import pytest
import torch
from torch import nn

from ovss.cli.advice import sentences, with_advice
from ovss.cli.errors import describe
from ovss.io.memory import Memory, available_memory
from ovss.training.memory_watch import MemoryForecastError, MemoryWatch, check_state_fits
from tests.tiny_training import tiny_config, train

GIB = 1 << 30


def written(root, **files: str):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"


@pytest.mark.parametrize(
    ("files", "left", "limit"),
    [
        ({}, None, ""),
        ({"proc__meminfo": MACHINE}, 8 * GIB, "whole machine"),
        (
            {
                "proc__meminfo": MACHINE,
                "proc__self__cgroup": "0::/job/1\n",
                "sys__fs__cgroup__job__1__memory-max": "max\n",
                "sys__fs__cgroup__job__memory-max": f"{4 * GIB}\n",
                "sys__fs__cgroup__job__memory-current": f"{3 * GIB}\n",
                "sys__fs__cgroup__job__memory-stat": f"anon 5\ninactive_file {GIB}\n",
            },
            2 * GIB,
            "limit of the container or job",
        ),
        (
            {
                "proc__meminfo": MACHINE,
                "proc__self__cgroup": "5:cpu,memory:/elsewhere\n0::/\n",
                "sys__fs__cgroup__memory__memory-limit_in_bytes": f"{GIB}\n",
                "sys__fs__cgroup__memory__memory-usage_in_bytes": f"{2 * GIB}\n",
                "sys__fs__cgroup__memory__memory-stat": "total_inactive_file 7\n",
            },
            0,
            "limit of the container or job",
        ),
    ],
)
def test_the_smallest_limit_counts(tmp_path, files, left, limit):
    found = available_memory(written(tmp_path, **files))
    assert (None if found is None else found.left) == left
    assert limit == ("" if found is None else found.limit)


def test_the_address_space_is_a_limit_too(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2 * GIB, 2 * GIB))
    found = available_memory(written(tmp_path, proc__self__status="VmSize: 1048576 kB\n"))
    assert found == Memory(GIB, 2 * GIB, "limit of the address space, ulimit -v")


def test_a_first_step_that_leaves_too_little_is_announced_with_the_flag():
    said: list[str] = []
    sizes = iter([1 * GIB, 4 * GIB, 2 * GIB])

    @with_advice("train")
    def training(left: int, images: int) -> None:
        watch = MemoryWatch(
            said.append,
            images,
            read=lambda: Memory(left, 16 * GIB, "whole machine"),
            resident=lambda: next(sizes, 2 * GIB),
        )
        for _ in range(3):
            with watch.step():
                watch.look()

    training(8 * GIB, images=4)
    assert said == []
    sizes = iter([1 * GIB, 4 * GIB, 2 * GIB])
    training(2 * GIB, images=4)
    assert said == [
        "Memory is short: the first step needed 3.00 GiB for 4 images at a time, and 2.00 of "
        "16.00 GiB of memory (whole machine) are left for the next. Process fewer images at a "
        "time. Use a smaller --micro-batch."
    ]


def test_memory_that_runs_out_within_a_step_is_announced_at_once():
    said: list[str] = []
    left = [8 * GIB]
    watch = MemoryWatch(said.append, 2, read=lambda: Memory(left[0], 16 * GIB, "whole machine"))
    with watch, watch.step():
        left[0] = GIB // 4
        deadline = time.monotonic() + 5
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
    (text,) = said
    assert "only 0.25 of 16.00 GiB of memory (whole machine) are left" in text
    assert "Process fewer images at a time" in text


def test_gradients_and_optimizer_state_that_cannot_fit_are_refused():
    model = nn.Linear(1000, 1000)
    optimizer = torch.optim.AdamW(model.parameters())
    needed = 3 * 4 * (1000 * 1000 + 1000)
    check_state_fits(model, optimizer, Memory(needed, GIB, "whole machine"))
    check_state_fits(model, optimizer, None)
    with pytest.raises(MemoryForecastError, match=r"0\.01 GiB more for the gradients .*1,001,000"):
        check_state_fits(model, optimizer, Memory(needed - 1, GIB, "whole machine"))
    model(torch.ones(1, 1000)).sum().backward()
    optimizer.step()
    check_state_fits(model, optimizer, Memory(0, GIB, "whole machine"))


def test_training_reads_the_memory(tmp_path, monkeypatch, capsys):
    from ovss.training import memory_watch

    short = Memory(GIB // 100, GIB, "limit of the container or job")
    monkeypatch.setattr(memory_watch, "available_memory", lambda: short)
    train(tiny_config(tmp_path), tmp_path / "run", "--micro-batch", "1")
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert text.count("Memory is short: ") == 1
    assert "Use a smaller --micro-batch." in text


def test_memory_that_cannot_be_allocated_is_a_sentence():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    text = describe(caught.value)
    assert text == (
        "out of memory (4194304.00 GiB could not be allocated). Use smaller images, or compute "
        "less at once"
    )
    assert "--micro-batch" in sentences("train", caught.value)
    assert "out of memory" in describe(MemoryError())

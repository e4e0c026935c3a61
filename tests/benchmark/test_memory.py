"""The peak is measured even if its memory is freed before the call ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import torch
from ovss.benchmark.memory import peak_memory
large = peak_memory(lambda: torch.ones(16 << 20).sum())
print(large.above >> 20, peak_memory(lambda: None).above >> 20, large)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
def test_peak_of_a_call_in_its_own_process():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    large, nothing, *words = done.stdout.split()
    assert 60 < int(large) < 120, "16 Mi float32 numbers"
    assert int(nothing) < 16
    assert "MiB" in words


GROWING = """
import torch
from ovss.benchmark.memory import peak_memory

def growing(step):
    # tensors of 1, 2, ..., 24 MiB, each freed before the next is made
    for mib in range(1, 25, step):
        torch.ones(mib << 18)

torch.ones(32 << 18)  # from here on, glibc would keep freed blocks of this size
growing(1)
print(*[peak_memory(lambda: growing(step)).above >> 20 for step in (1, 23)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
def test_memory_that_was_freed_does_not_count():
    done = subprocess.run(
        [sys.executable, "-c", GROWING], capture_output=True, text=True, check=True, timeout=120
    )
    assert [int(each) for each in done.stdout.split()] == pytest.approx([24, 24], abs=2)

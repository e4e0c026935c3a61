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

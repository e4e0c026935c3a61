"""The peak is seen even when nothing of it is left."""

from __future__ import annotations

import sys

import pytest
import torch

from ovss.benchmark.memory import peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
def test_peak_of_a_call():
    def call() -> None:
        torch.ones(16 << 20)  # 64 MiB

    large = peak_memory(call)
    assert 60 << 20 < large.above < 120 << 20
    assert peak_memory(lambda: None).above < 16 << 20
    assert "MiB" in str(large)

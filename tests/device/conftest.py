"""The device that these tests run on: ``--device``, which is a GPU by default."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def device(request) -> torch.device:
    """Device to test; skips if this machine does not have it."""
    name = request.config.getoption("--device")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU: run with --device cpu to try these tests on a CPU")
    return torch.device(name)


@pytest.fixture
def gpu(device) -> torch.device:
    """A GPU, for what a CPU does not have."""
    if device.type != "cuda":
        pytest.skip(f"{device.type} has no streams: this test needs a GPU")
    return device

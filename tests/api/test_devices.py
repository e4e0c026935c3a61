"""Devices are refused with a sentence unless torch can use them."""

from __future__ import annotations

import pytest
import torch

from ovss.api.method import choose_device


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected a device such as cpu"),
        ("cuda:", "expected a device such as cpu"),
        ("cuda:-1", "expected a device such as cpu"),
        ("0", "expected a device such as cpu"),
        ("cud", "Did you mean cuda?"),
        ("cpu:7", "one device cpu"),
        ("cuda:99", "GPUs for CUDA"),
        ("quantum", "cannot be used on this machine"),
    ],
)
def test_devices_that_do_not_exist(name, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as caught:
        choose_device(name)
    assert len(str(caught.value)) < 400


def test_the_cpu_has_two_names():
    assert {choose_device(name).type for name in ("cpu", "cpu:0")} == {"cpu"}
    assert isinstance(choose_device(), torch.device)

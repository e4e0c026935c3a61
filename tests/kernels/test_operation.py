"""Choice of kernels: measured once, kept in a file, fixed when tuning is off."""

from __future__ import annotations

import json
import time

import pytest
import torch

from ovss.kernels import Kernel, Operation, choices_file, fixed_kernels, is_tuning, set_tuning
from ovss.kernels import operation as module
from ovss.kernels.operation import forget, measured


@pytest.fixture(autouse=True)
def own_choices(tmp_path, monkeypatch):
    """Tuning is on, with an empty file of choices."""
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "_CHOICES", module.Choices())
    monkeypatch.setattr(module, "_OPERATIONS", dict(module._OPERATIONS))
    set_tuning(True)
    yield
    set_tuning(None)


def adding(calls, name="adding"):
    """Operation with a slow fixed kernel, a fast one, and one that takes no negative numbers."""

    def kernel(which, seconds, usable=lambda x: True):
        def run(x):
            calls.append(which)
            time.sleep(seconds)
            return x + 1

        return Kernel(which, run, usable)

    kernels = (
        kernel("slow", 0.004),
        kernel("fast", 0.001),
        kernel("picky", 0.0, lambda x: x >= 0),
    )
    return Operation(name, kernels, lambda x: "slow")


def test_the_fastest_kernel_is_measured_once_and_kept_on_disk(monkeypatch):
    calls = []
    operation = adding(calls)
    assert operation(("class", 1), 1) == 2
    assert calls[-1] == "picky"
    del calls[:]
    operation(("class", 1), 5)
    assert calls == ["picky"]
    content = json.loads(choices_file().read_text())
    assert content["choices"]["adding"][f"class 1 {torch.get_num_threads()}"]["fixed"] == "slow"

    monkeypatch.setattr(module, "_CHOICES", module.Choices())  # another process
    del calls[:]
    assert adding(calls)(("class", 1), 5) == 6
    assert calls == ["picky"]


def test_a_kernel_that_cannot_take_these_inputs_is_not_used():
    calls = []
    operation = adding(calls)
    operation((1,), 1)
    assert operation.choose((1,), -1) == "slow"
    assert operation.choose((2,), -1) == "fast"


def test_a_gain_within_noise_keeps_the_fixed_kernel(monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(ticks)))
    operation = Operation(
        "same", (Kernel("one", lambda x: x), Kernel("two", lambda x: x)), lambda x: "two"
    )
    assert operation.choose((1,), 1) == "two"


def test_off_means_fixed(monkeypatch):
    calls = []
    operation = adding(calls)
    with fixed_kernels():
        assert not is_tuning()
        operation((1,), 1)
    assert is_tuning()
    set_tuning(None)
    monkeypatch.setenv("OVSS_TUNE", "off")
    operation((1,), 1)
    assert calls == ["slow", "slow"]
    assert not choices_file().exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": 1}', "null", '{"machine": NaN}'])
def test_a_damaged_file_is_measured_again(content):
    choices_file().parent.mkdir(parents=True)
    choices_file().write_text(content)
    assert adding([]).choose((1,), 1) == "picky"
    assert json.loads(choices_file().read_text())["choices"]["adding"]


@pytest.mark.parametrize(
    "value",
    [
        {"kernel": "os.system", "fixed": "slow", "seconds": {"slow": 1.0}},
        {"kernel": "slow", "fixed": "slow", "seconds": {"slow": -1.0}},
        {"kernel": ["slow"]},
    ],
)
def test_names_and_times_from_the_file_are_checked(value):
    adding([]).choose((1,), 1)
    content = json.loads(choices_file().read_text())
    shape = next(iter(content["choices"]["adding"]))
    content["choices"]["adding"][shape] = value
    choices_file().write_text(json.dumps(content))
    module._CHOICES._source = None
    assert adding([]).choose((1,), 1) == "picky"


def test_choices_of_another_machine_do_not_count():
    adding([]).choose((1,), 1)
    content = json.loads(choices_file().read_text())
    content["machine"]["torch"] = "1.0"
    choices_file().write_text(json.dumps(content))
    module._CHOICES._source = None
    assert measured() == []


def test_processes_add_to_one_file(monkeypatch):
    adding([]).choose((1,), 1)
    other = module.Choices()
    other.get("adding", "1")
    adding([]).choose((2,), 1)
    other.put("adding", "3", module.Choice("fast", {"fast": 1.0}, "slow"))
    assert len(json.loads(choices_file().read_text())["choices"]["adding"]) == 3


def test_forget_measures_again():
    operation = adding([])
    operation.choose((1,), 1)
    forget()
    assert measured() == []
    assert not choices_file().exists()
    operation.choose((1,), 1)
    assert len(measured()) == 1


def test_without_a_folder_choices_stay_in_memory(monkeypatch):
    monkeypatch.setenv("OVSS_CACHE_DIR", "off")
    assert choices_file() is None
    calls = []
    operation = adding(calls)
    operation((1,), 1)
    del calls[:]
    operation((1,), 1)
    assert calls == ["picky"]


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path, monkeypatch):
    (tmp_path / "kernels").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="Set OVSS_CACHE_DIR"):
        assert adding([]).choose((1,), 1) == "picky"
    adding([]).choose((2,), 1)  # without another warning
    assert len(measured()) == 2

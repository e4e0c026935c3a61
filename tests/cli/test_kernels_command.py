"""`ovss kernels` and `--no-tune`."""

from __future__ import annotations

import json

import pytest

from ovss.cli import main
from ovss.kernels import choices_file
from ovss.kernels import operation as module


@pytest.fixture(autouse=True)
def own_choices(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("OVSS_TUNE", "on")
    monkeypatch.setattr(module, "_CHOICES", module.Choices())


def test_kernels_of_a_method_are_measured_and_listed(capsys):
    assert main(["kernels"]) == 0
    assert "Nothing was measured yet" in capsys.readouterr().out
    assert main(["kernels", "naclip_mini", "--size", "64", "64", "--again"]) == 0
    printed = capsys.readouterr().out
    assert "linear" in printed
    assert str(choices_file()) in printed
    assert main(["kernels", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["machine"]["torch"]
    assert {row["operation"] for row in content["choices"]} >= {"linear"}
    for row in content["choices"]:
        assert row["kernel"] in row["seconds"]


def test_without_tuning_nothing_is_measured(capsys, monkeypatch):
    assert main(["kernels", "naclip_mini", "--size", "64", "64", "--no-tune"]) == 0
    assert not choices_file().exists()
    assert "tuning is off" in capsys.readouterr().err

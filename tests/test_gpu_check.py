"""tools/gpu_check.py on a CPU: every part runs, and the two files hold what was measured."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def tool(repo_root):
    """The script tools/gpu_check.py as a module."""
    before = list(sys.path)
    path = repo_root / "tools" / "gpu_check.py"
    spec = importlib.util.spec_from_file_location("gpu_check", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    for name in [n for n in sys.modules if n.partition(".")[0] in ("gpu_check", "gpu_checking")]:
        del sys.modules[name]


def test_everything_runs_in_small_on_a_cpu(tool, tmp_path):
    plan = replace(
        tool.CheckPlan.tiny("cpu"),
        methods=("maskclip_mini", "dcp_clip_mini", "no_such_method"),
        official=("sed_convnext-b",),
        categories=(3,),
        rounds=1,
        side=4,
    )
    result = tool.checked(plan, tmp_path, with_tests=False)
    written = json.loads((tmp_path / "gpu_check.json").read_text())
    assert written["plan"]["methods"] == list(plan.methods)
    for name in plan.methods[:2]:
        assert written["outputs"][name]["fp32"]["other_labels"] == 0
        assert set(written["outputs"][name]) == {"fp32", "tf32", "bf16", "fp16"}
        assert written["speed"][name]["3"]["images_per_second"] > 0
    assert "error" in written["outputs"]["no_such_method"]
    official = written["official"]["sed_convnext-b"]["3"]
    assert official["official"]["largest"] < 1e-3
    assert official["official"]["images_per_second"] > 0
    page = (tmp_path / "gpu_check.md").read_text()
    assert page.count("| maskclip_mini |") == 2
    assert "| sed_convnext-b |" in page
    assert tool.has_failed(result), "a method that cannot be measured is a failure"
    del result["outputs"]["no_such_method"], result["speed"]["no_such_method"]
    assert not tool.has_failed(result)


def test_a_machine_without_a_gpu_is_refused(tool, capsys, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert tool.main(["--out", str(tmp_path)]) == 2
    assert "--device cpu" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_plans_cover_every_method(tool):
    from ovss.models.configs import shipped_configs

    tiny, full = tool.CheckPlan.tiny("cpu"), tool.CheckPlan.full("cuda")
    left_out = set(shipped_configs()) - set(tiny.methods) - set(full.methods)
    assert left_out == {"cat_seg_mini_camvid", "oracle_mini", "oracle_tokens_mini"}
    assert full.categories == (150, 847, 10_000)


@pytest.mark.slow
def test_the_command_runs_the_device_tests_too(tool, tmp_path):
    status = tool.main(
        [
            "--device",
            "cpu",
            "--methods",
            "cat_seg_mini",
            "--categories",
            "3",
            "--out",
            str(tmp_path),
        ]
    )
    written = json.loads((tmp_path / "gpu_check.json").read_text())
    assert status == 0, written
    assert written["tests"]["passed"] > 10
    assert written["tests"]["failed"] == 0

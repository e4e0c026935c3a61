"""Compilation of the blocks of a model at inference."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import ovss
from ovss.models.compilation import check_compiler


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"none of g\+\+, clang\+\+, c\+\+ and cl is on the"):
        ovss.Inferencer("dcp_clip_mini", device="cpu", compiled=True)


def test_a_gpu_needs_triton(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="needs the package triton"):
        check_compiler(torch.device("cuda"))


def test_nothing_is_compiled_unless_asked():
    assert ovss.Inferencer("maskclip_mini", device="cpu").compiled == ()


@pytest.mark.slow
def test_compiled_blocks_give_the_same_labels():
    image_HW3 = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    plain, compiled = (
        ovss.Inferencer("maskclip_mini", device="cpu", compiled=is_compiled)
        for is_compiled in (False, True)
    )
    assert compiled.compiled
    results = [run(image_HW3, "cat, grass, sky", probabilities=True) for run in (plain, compiled)]
    np.testing.assert_allclose(results[0].probabilities, results[1].probabilities, atol=1e-5)
    assert (results[0].label_map == results[1].label_map).mean() > 0.999

"""Memory of an evaluation does not grow with the number of images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.memory_of import measure

KIB = 1 << 10
PER_IMAGE = 64
"""Bytes: index of a remaining image, and its mark."""


def test_only_the_mark_of_an_image_is_kept():
    few, many = measure(50), measure(800)
    assert many["traced"] - few["traced"] < 128 * KIB + 750 * PER_IMAGE


@pytest.mark.slow
def test_five_thousand_images_need_as_much_as_fifty():
    few, many = (_in_its_own_process(images) for images in (50, 5000))
    assert many["traced"] - few["traced"] < 128 * KIB + 4950 * PER_IMAGE
    assert many["resident"] - few["resident"] < 8 * KIB * KIB  # the allocator's own grain


def _in_its_own_process(images: int) -> dict[str, int]:
    process = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.memory_of", str(images)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])

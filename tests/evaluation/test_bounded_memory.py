"""What an evaluation needs does not grow with its pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.memory_of import measure

KIB = 1 << 10
PER_PICTURE = 64
"""Bytes: the index of each picture that is left, and a mark whether it is done."""


def test_nothing_of_a_picture_stays_but_that_it_is_done():
    few, many = measure(50), measure(800)
    assert many["traced"] - few["traced"] < 128 * KIB + 750 * PER_PICTURE


@pytest.mark.slow
def test_five_thousand_pictures_need_what_fifty_need():
    few, many = (_in_its_own_process(pictures) for pictures in (50, 5000))
    assert many["traced"] - few["traced"] < 128 * KIB + 4950 * PER_PICTURE
    assert many["resident"] - few["resident"] < 8 * KIB * KIB  # the allocator's own grain


def _in_its_own_process(pictures: int) -> dict[str, int]:
    found = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.memory_of", str(pictures)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(found.stdout.splitlines()[-1])

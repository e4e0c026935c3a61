"""Killed commands lose nothing: a few kills here, `python -m tests.kills --kills 50` for more."""

from __future__ import annotations

import sys

import pytest

from tests.kills.jobs import JOBS
from tests.kills.killing import kill_and_resume


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
@pytest.mark.parametrize("job", JOBS[:1] + JOBS[2:], ids=lambda job: job.name)
def test_killed_commands_resume_to_the_same_outcome(job, tmp_path):
    if job.needs:
        pytest.importorskip(job.needs, reason=f"{job.name} needs an extra")
    tally = kill_and_resume(job, 1, tmp_path, seed=1)
    assert not tally.faults
    assert tally.kills == 1

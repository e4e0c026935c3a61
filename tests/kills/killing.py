"""Kills of a running command at random moments, and checks of what it leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests.kills.jobs import Job

__all__ = ["Tally", "kill_and_resume", "processes_of"]

MOST_IN_A_RUN = 4
"""Workers that are killed during one run of a command."""
JOURNALS = ("curve.jsonl", "manifest.jsonl")
"""Files that grow by lines; a kill may cut the last one, which the next run drops."""


@dataclass
class Tally:
    """What the kills of one job showed.

    Args:
        kills: number of kills.
        runs: number of completed runs that were compared with an uninterrupted one.
        slowest_child: seconds until the last child of a killed command had ended.
        faults: sentences; empty if everything held.
    """

    kills: int = 0
    runs: int = 0
    slowest_child: float = 0.0
    faults: list[str] = field(default_factory=list)


def kill_and_resume(job: Job, kills: int, folder: Path, seed: int) -> Tally:
    """Kills a command `kills` times at random moments, resumes it, and compares the outcome.

    Args:
        job: command.
        kills: number of kills.
        folder: empty folder for all runs.
        seed: seed of the moments.
    """
    numbers = random.Random(f"{job.name} {seed}")
    tally = Tally()
    whole = _fresh(job, folder / "whole")
    started = time.monotonic()
    _finish(job, whole, tally)
    duration = time.monotonic() - started
    expected = job.outcome(whole)
    while tally.kills < kills and not tally.faults:
        place = _fresh(job, folder / f"run_{tally.runs}")
        if job.worker:
            _finish_without_workers(job, place, numbers, kills, tally)
        while tally.kills < kills and not job.worker:
            moment = numbers.uniform(0.0, duration)
            if not _killed(job, place, moment, tally):
                break
        _finish(job, place, tally)
        tally.runs += 1
        if differing := _difference(expected, job.outcome(place)):
            tally.faults.append(f"{place}: another outcome than without kills{differing}")
        tally.faults += [f"{place}: left {path}" for path in _leftovers(place)]
    return tally


def _fresh(job: Job, place: Path) -> Path:
    place.mkdir(parents=True)
    if job.inputs:
        job.inputs(place)
    return place


def _start(job: Job, place: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "ovss", *job.arguments(place)]
    log = (place / "log.txt").open("ab")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log:
        return subprocess.Popen(
            command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def _finish(job: Job, place: Path, tally: Tally) -> None:
    status = _start(job, place).wait()
    if status != 0:
        end = (place / "log.txt").read_text(errors="replace")[-600:]
        tally.faults.append(f"{place}: the command ended with status {status}: {end}")
        raise RuntimeError(tally.faults[-1])


def _finish_without_workers(
    job: Job, place: Path, numbers: random.Random, kills: int, tally: Tally
) -> None:
    """Runs a command to its end while some of its workers are killed."""
    process, killed = _start(job, place), 0
    while process.poll() is None:
        time.sleep(numbers.uniform(0.1, 2.0))
        working = any(place.rglob(".*.attempt"))
        victims = processes_of(process.pid, job.worker) if working else []
        if victims and killed < MOST_IN_A_RUN and tally.kills < kills:
            os.kill(numbers.choice(victims), signal.SIGKILL)
            killed, tally.kills = killed + 1, tally.kills + 1
    if process.returncode != 0:
        end = (place / "log.txt").read_text(errors="replace")[-600:]
        tally.faults.append(f"{place}: ended with status {process.returncode}: {end}")


def _killed(job: Job, place: Path, moment: float, tally: Tally) -> bool:
    """Kills a run after `moment` seconds; False if it had ended before."""
    process = _start(job, place)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    else:
        if process.returncode != 0:
            end = (place / "log.txt").read_text(errors="replace")[-600:]
            tally.faults.append(f"{place}: resumed run ended with {process.returncode}: {end}")
        return False
    tally.kills += 1
    died = time.monotonic()
    while (left := processes_of(process.pid)) and time.monotonic() - died < job.children_end:
        time.sleep(0.02)
    tally.slowest_child = max(tally.slowest_child, time.monotonic() - died)
    if left:
        tally.faults.append(
            f"{place}: processes {left} survived their parent by {job.children_end} s"
        )
        os.killpg(process.pid, signal.SIGKILL)
    tally.faults += [f"{place}, killed after {moment:.1f} s: {text}" for text in _damaged(place)]
    return True


def processes_of(session: int, command: str = "", *, children: bool = False) -> list[int]:
    """Processes of a session that are not ended, with a text in their command line (Linux).

    Args:
        session: id of the session; with `children`, of the parent.
        command: text in the command line.
        children: True for the processes that the parent itself has started.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_text(errors="replace")
            except OSError:
                continue  # it has just ended
            owner = int(fields[1 if children else 3])
            if command in line and owner == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _damaged(place: Path) -> Iterator[str]:
    """Sentences on files under their final name that cannot be read."""
    for path in sorted(place.rglob("*")):
        if not path.is_file() or path.name.startswith(".") or path.name == "log.txt":
            continue
        try:
            _read(path)
        except Exception as error:  # readers raise nearly anything
            yield f"{path.relative_to(place)} is damaged ({type(error).__name__}: {error})"


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text("utf-8"), parse_constant=_no_constant)
    elif path.suffix == ".jsonl":
        lines = path.read_text("utf-8").split("\n")
        for line in lines[:-1] if path.name in JOURNALS else lines:
            json.loads(line or "null", parse_constant=_no_constant)
    elif path.suffix in (".png", ".jpg"):
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.read_table(path)
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            list(file.keys())
    elif path.suffix == ".pth":
        import zipfile

        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"{bad} in the archive")


def _difference(expected: Any, found: Any) -> str:
    """First place where two nested values differ; empty if they are equal."""
    if expected == found:
        return ""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in {**expected, **found}:
            if key not in expected or key not in found:
                return f", only one has {key!r}"
            if text := _difference(expected[key], found[key]):
                return f", at {key!r}{text}"
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        for index, pair in enumerate(zip(expected, found, strict=False)):
            if text := _difference(*pair):
                return f", at {index}{text}"
    return f": {str(expected)[:80]!r} and {str(found)[:80]!r}"


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _leftovers(place: Path) -> list[Path]:
    """Temporary files that a completed run has left."""
    found = [*place.rglob(".*.tmp"), *place.rglob(".*.attempt")]
    found += (place / "labels").rglob(".*.lock")  # other commands keep theirs
    return [path.relative_to(place) for path in found]

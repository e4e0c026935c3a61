"""Cases of this package and of another checkout of it, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .clock import Span
from .instead import agreement
from .speed import Case, Turn
from .speed_plan import SpeedPlan

_SERVER = Path(__file__).with_name("case_server.py")
_NEEDED = "ovss/benchmark/speed_plan.py"


class CaseProcess:
    """Running `case_server` with the cases of a plan.

    Args:
        plan: settings of the cases.
        checkout: folder of the checkout whose package it imports; None for the installed one.

    Raises:
        RuntimeError: the process ends, or the checkout cannot make the cases.
    """

    def __init__(self, plan: SpeedPlan, checkout: Path | None = None) -> None:
        self.place = "this version" if checkout is None else str(checkout)
        command = [sys.executable, str(_SERVER), *([str(checkout)] if checkout else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        request = {"plan": _changed_settings(plan), "threads": torch.get_num_threads()}
        self.cases: list[list[str]] = self.ask(request)["cases"]

    def ask(self, request: dict[str, Any]) -> Any:
        """Sends a request, see `case_server`, and waits for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self.process.wait()
            raise RuntimeError(f"The process that measures {self.place} ended with status {status}")
        answer = json.loads(line)
        if answer and "error" in answer:
            raise RuntimeError(f"{self.place} cannot be measured. It raised {answer['error']}")
        return answer

    def turn(self, index: int) -> Turn:
        """Measures a case once more."""
        found = self.ask({"turn": index})
        stages = {name: Span(*pair) for name, pair in found["stages"].items()}
        return Turn(Span(*found["whole"]), stages, found["kept"])

    def labels(self, index: int, file: Path) -> torch.Tensor | None:
        """Label map of a case; None if the case has none."""
        if self.ask({"labels": index, "file": str(file)}) is None:
            return None
        return torch.from_numpy(np.load(file))

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def checkout_cases(plan: SpeedPlan, checkout: str) -> Iterator[list[Case]]:
    """Makes the cases of a plan twice: with this package and with another checkout.

    The two cases of a method stand next to one another, so that they run in the same moments. Their
    processes live until the context ends.

    Args:
        plan: settings of the cases.
        checkout: folder of another commit, for example one made with ``git worktree add``.

    Raises:
        FileNotFoundError: the folder has no package that can be measured.
        RuntimeError: see `CaseProcess`, or the two versions make different cases.
    """
    root = Path(checkout).resolve()
    if not (root / _NEEDED).is_file():
        raise FileNotFoundError(
            f"Expected a checkout of ovss with {_NEEDED} in {root}, found none. Name the folder of "
            f"another commit"
        )
    with ExitStack() as stack:
        processes = []
        for folder in (None, root):
            processes.append(CaseProcess(plan, folder))
            stack.callback(processes[-1].close)
        own, other = processes
        if own.cases != other.cases:
            raise RuntimeError(
                f"Expected the cases {own.cases} of {root}, got {other.cases}. Compare each "
                f"version by itself"
            )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cases = []
        for index, (method, vocabulary) in enumerate(own.cases):
            share = _agreement(own, other, index, folder)
            cases.append(Case(method, vocabulary, elsewhere=partial(own.turn, index)))
            title = f"{method} at {root.name}"
            turn = partial(other.turn, index)
            cases.append(Case(title, vocabulary, elsewhere=turn, base=method, agreement=share))
        yield cases


def _agreement(one: CaseProcess, other: CaseProcess, index: int, folder: Path) -> float | None:
    """Share of equal pixels of two label maps; None if there are none or their sizes differ."""
    first = one.labels(index, folder / "one.npy")
    second = None if first is None else other.labels(index, folder / "other.npy")
    return None if first is None or second is None else agreement(first, second)


def _changed_settings(plan: SpeedPlan) -> dict[str, Any]:
    """Settings that are not the defaults, because another version may not know all of them."""
    plain = SpeedPlan(plan.methods)
    names = [field.name for field in fields(plan)]
    changed = {n: getattr(plan, n) for n in names if getattr(plan, n) != getattr(plain, n)}
    return {"methods": plan.methods, **changed}

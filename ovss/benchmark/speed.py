"""Compares the speed of several methods in one process, in turns.

Each round runs every method at every vocabulary once, so that other load on the machine affects all
of them. Ratios use the best times because noise can only add to a time.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ovss.results.record import processor

from .clock import Clock, Span

ENCODER_ALONE = "encoder alone"


@dataclass
class Case:
    """Method and vocabulary to time, with the times measured so far.

    Args:
        method: name of a `Contender`.
        vocabulary: name or size of the vocabulary, or `ENCODER_ALONE`.
        run: function that runs the case once and records stages on the clock.
        units: number of images or steps in one run. Times are divided by it.
        spans: time per unit of each run.
        stages: time per unit of each run, by stage.
        kept: mean number of categories kept per view in the last run; None before the first run or
            without a selection.
    """

    method: str
    vocabulary: str
    run: Callable[[Clock], object]
    units: int = 1
    spans: list[Span] = field(default_factory=list)
    stages: list[dict[str, Span]] = field(default_factory=list)
    kept: float | None = None

    def measure(self, clock: Clock) -> Span:
        """Times one more run; returns its time per unit."""
        whole, stages = clock.time(lambda: self.run(clock))
        self.spans.append(whole / self.units)
        self.stages.append({name: span / self.units for name, span in stages.items()})
        if clock.kept:
            self.kept = float(torch.cat(clock.kept).float().mean())
        return self.spans[-1]

    def best(self, kind: str) -> float:
        """Shortest time in seconds; `kind` is ``wall`` or ``processor``."""
        return min(getattr(span, kind) for span in self.spans)

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON; the stages are those of the run with the least processor time."""
        fastest = min(range(len(self.spans)), key=lambda i: self.spans[i].processor)
        seconds = {
            kind: {
                "best": self.best(kind),
                "median": statistics.median(getattr(span, kind) for span in self.spans),
                "all": [getattr(span, kind) for span in self.spans],
            }
            for kind in ("wall", "processor")
        }
        stages = {name: asdict(span) for name, span in self.stages[fastest].items()}
        if self.vocabulary == ENCODER_ALONE:
            stages = {}
        kept = {} if self.kept is None else {"kept": self.kept}
        return {
            "method": self.method,
            "vocabulary": self.vocabulary,
            **kept,
            **seconds,
            "stages": stages,
        }


def race(
    cases: list[Case],
    rounds: int,
    warm_up: int,
    device: torch.device | str = "cpu",
    log: Callable[[str], None] = print,
) -> None:
    """Measures all cases in turns and stores the times in them.

    Args:
        cases: cases to measure.
        rounds: number of rounds that count.
        warm_up: number of rounds before them that do not count.
        device: device of the models.
        log: callback for lines of progress.

    Raises:
        ValueError: `rounds` is below 1 or `warm_up` is negative.
    """
    if rounds < 1 or warm_up < 0:
        raise ValueError(
            f"Expected rounds of at least 1 and warm_up of at least 0, got rounds={rounds} and "
            f"warm_up={warm_up}"
        )
    clock = Clock(torch.device(device))
    for turn in range(-warm_up, rounds):
        for case in cases:
            span = case.measure(clock)
            title = f"round {turn + 1} of {rounds}" if turn >= 0 else "warm-up"
            log(f"{title}: {case.method}, {case.vocabulary}, {span.wall:.3f} s")
            if turn < 0:
                case.spans.clear()
                case.stages.clear()


def benchmark_machine(device: torch.device | str) -> dict[str, Any]:
    """Describes the device and the versions behind a measurement."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def ratios(cases: list[Case]) -> list[dict[str, Any]]:
    """Divides the time of every other method by that of the first, for each vocabulary."""
    first = cases[0].method
    by_key = {(case.method, case.vocabulary): case for case in cases}
    rows = []
    for case in cases:
        reference = by_key.get((first, case.vocabulary))
        if case.method != first and reference is not None:
            about = {"vocabulary": case.vocabulary, "method": case.method, "over": first}
            rows.append({**about, **_quotients(case, reference)})
    return rows


def _quotients(case: Case, reference: Case) -> dict[str, float]:
    return {kind: case.best(kind) / reference.best(kind) for kind in ("wall", "processor")}


def over_floor(cases: list[Case]) -> list[dict[str, Any]]:
    """Divides the time of each case by that of the method's encoder alone."""
    floor = {case.method: case for case in cases if case.vocabulary == ENCODER_ALONE}
    rows = []
    for case in cases:
        if case.vocabulary != ENCODER_ALONE and case.method in floor:
            about = {"method": case.method, "vocabulary": case.vocabulary}
            rows.append({**about, **_quotients(case, floor[case.method])})
    return rows


def growth(cases: list[Case]) -> list[dict[str, Any]]:
    """Divides the time at each further vocabulary by that at the method's first one."""
    firsts: dict[str, Case] = {}
    rows = []
    for case in cases:
        if case.vocabulary == ENCODER_ALONE:
            continue
        first = firsts.setdefault(case.method, case)
        if first is not case:
            about = {"method": case.method, "vocabulary": case.vocabulary}
            rows.append({**about, "over": first.vocabulary, **_quotients(case, first)})
    return rows


def as_dict(cases: list[Case], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Content for JSON: the machine, every time in seconds, and the three kinds of ratios."""
    return {
        "machine": benchmark_machine(device),
        "cases": [case.as_dict() for case in cases],
        "over_first": ratios(cases),
        "over_encoder": over_floor(cases),
        "over_first_vocabulary": growth(cases),
    }


def speed_table(cases: list[Case]) -> str:
    """Formats seconds, stages in processor time and ratios for a terminal."""
    width = max(len(case.method) for case in cases) + 2
    lines = [
        f"{'method':<{width}}{'vocabulary':<15}{'kept':>6}{'wall best':>11}{'median':>9}"
        f"{'processor':>11}{'median':>9}   stages, processor seconds"
    ]
    for case in cases:
        row = case.as_dict()
        stages = "  ".join(f"{name} {s['processor']:.3f}" for name, s in row["stages"].items())
        kept = f"{row['kept']:.1f}" if "kept" in row else "-"
        wall, processor = row["wall"], row["processor"]
        lines.append(
            f"{case.method:<{width}}{case.vocabulary:<15}{kept:>6}"
            f"{wall['best']:>11.3f}{wall['median']:>9.3f}"
            f"{processor['best']:>11.3f}{processor['median']:>9.3f}   {stages}"
        )
    for row in over_floor(cases):
        lines.append(
            f"{row['method']}, {row['vocabulary']}: {row['processor']:.2f} x its encoder alone "
            f"({row['wall']:.2f} by the wall clock)"
        )
    for row in growth(cases):
        lines.append(
            f"{row['method']}: {row['vocabulary']} takes {row['processor']:.2f} x {row['over']} "
            f"({row['wall']:.2f} by the wall clock)"
        )
    for row in ratios(cases):
        lines.append(
            f"{row['vocabulary']}: {row['method']} takes {row['processor']:.2f} x {row['over']} "
            f"({row['wall']:.2f} by the wall clock)"
        )
    return "\n".join(lines)

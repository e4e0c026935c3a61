"""Compares the speed of several methods in turns.

Each round runs every method at every vocabulary once, so that other load on the machine affects all
of them. Ratios of best times are reported because noise can only add to a time, and ratios of the
same round with their confidence interval.
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
from .confidence import ratio_interval

ENCODER_ALONE = "encoder alone"


@dataclass(frozen=True)
class Turn:
    """Times of one run of a case.

    Args:
        whole: time per unit.
        stages: time per unit, by stage.
        kept: mean number of categories kept per view; None without a selection.
    """

    whole: Span
    stages: dict[str, Span]
    kept: float | None = None


def _not_here(clock: Clock) -> object:
    raise RuntimeError("This case runs in another process. Measure it with `measure`")


@dataclass
class Case:
    """Method and vocabulary to time, with the times measured so far.

    Args:
        method: name of a `Contender`.
        vocabulary: name or size of the vocabulary, or `ENCODER_ALONE`.
        run: function that runs the case once and records stages on the clock. It returns the last
            label map, if it makes one.
        units: number of images or steps in one run. Times are divided by it.
        spans: time per unit of each run.
        stages: time per unit of each run, by stage.
        kept: mean number of categories kept per view in the last run; None before the first run or
            without a selection.
        base: `method` of another implementation or version of the same method, to divide by; None
            to divide by the first method.
        agreement: share of pixels that have the same label as in the case of `base`; None if they
            were not compared.
        elsewhere: function that measures the case in another process; None to call `run`.
    """

    method: str
    vocabulary: str
    run: Callable[[Clock], object] = _not_here
    units: int = 1
    spans: list[Span] = field(default_factory=list)
    stages: list[dict[str, Span]] = field(default_factory=list)
    kept: float | None = None
    base: str | None = None
    agreement: float | None = None
    elsewhere: Callable[[], Turn] | None = None

    def measure(self, clock: Clock) -> Span:
        """Times one more run; returns its time per unit."""
        turn = self._turn(clock) if self.elsewhere is None else self.elsewhere()
        self.spans.append(turn.whole)
        self.stages.append(turn.stages)
        self.kept = self.kept if turn.kept is None else turn.kept
        return turn.whole

    def _turn(self, clock: Clock) -> Turn:
        whole, stages = clock.time(lambda: self.run(clock))
        kept = float(torch.cat(clock.kept).float().mean()) if clock.kept else None
        parts = {name: span / self.units for name, span in stages.items()}
        return Turn(whole / self.units, parts, kept)

    def times(self, kind: str) -> list[float]:
        """Time of each run in seconds; `kind` is ``wall`` or ``processor``."""
        return [getattr(span, kind) for span in self.spans]

    def best(self, kind: str) -> float:
        """Shortest time in seconds; `kind` is ``wall`` or ``processor``."""
        return min(self.times(kind))

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON; the stages are those of the run with the least processor time."""
        fastest = min(range(len(self.spans)), key=lambda i: self.spans[i].processor)
        seconds = {
            kind: {
                "best": self.best(kind),
                "median": statistics.median(self.times(kind)),
                "all": self.times(kind),
            }
            for kind in ("wall", "processor")
        }
        stages = {name: asdict(span) for name, span in self.stages[fastest].items()}
        if self.vocabulary == ENCODER_ALONE:
            stages = {}
        optional = {"kept": self.kept, "agreement": self.agreement}
        return {
            "method": self.method,
            "vocabulary": self.vocabulary,
            **{key: value for key, value in optional.items() if value is not None},
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
    """Divides the time of every other method by that of its base, for each vocabulary.

    The base of a method is the first one, unless `Case.base` names another.
    """
    first = cases[0].method
    by_key = {(case.method, case.vocabulary): case for case in cases}
    rows = []
    for case in cases:
        over = case.base or first
        reference = by_key.get((over, case.vocabulary))
        if case.method != over and reference is not None:
            about = {"vocabulary": case.vocabulary, "method": case.method, "over": over}
            rows.append({**about, **_quotients(case, reference)})
    return rows


def _quotients(case: Case, reference: Case) -> dict[str, Any]:
    """Ratios of the best times, and under ``turns`` those of the same rounds with intervals."""
    kinds = ("wall", "processor")
    turns = {
        kind: ratio_interval(case.times(kind), reference.times(kind)).as_dict()
        for kind in kinds
        if len(case.spans) == len(reference.spans)
        and min(*case.times(kind), *reference.times(kind)) > 0
    }
    return {**{kind: case.best(kind) / reference.best(kind) for kind in kinds}, "turns": turns}


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

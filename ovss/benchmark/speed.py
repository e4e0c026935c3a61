"""Several methods against the clock, in one process, turn by turn.

Each round runs every method at every vocabulary once, so that what else the machine does falls on
all of them. Ratios are of the best times: noise only ever adds.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from .clock import Clock, Span

ENCODER_ALONE = "encoder alone"


@dataclass
class Case:
    """One thing that is timed.

    Args:
        method: of a `Contender`.
        vocabulary: its name or size, or `ENCODER_ALONE`.
        run: does it once, telling the clock.
        units: images, or steps, of one run; times are of one.
    """

    method: str
    vocabulary: str
    run: Callable[[Clock], object]
    units: int = 1
    spans: list[Span] = field(default_factory=list)
    stages: list[dict[str, Span]] = field(default_factory=list)
    kept: float | None = None

    def take(self, clock: Clock) -> Span:
        """Time it once more."""
        whole, stages = clock.time(lambda: self.run(clock))
        self.spans.append(whole / self.units)
        self.stages.append({name: span / self.units for name, span in stages.items()})
        if clock.kept:
            self.kept = float(torch.cat(clock.kept).float().mean())
        return self.spans[-1]

    def best(self, what: str) -> float:
        """Seconds; `what` is ``wall`` or ``processor``."""
        return min(getattr(span, what) for span in self.spans)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the stages are those of the run that took the processor least."""
        fastest = min(range(len(self.spans)), key=lambda i: self.spans[i].processor)
        seconds = {
            what: {
                "best": self.best(what),
                "median": statistics.median(getattr(span, what) for span in self.spans),
                "all": [getattr(span, what) for span in self.spans],
            }
            for what in ("wall", "processor")
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
    """Fill the cases' times.

    Raises:
        ValueError: rounds below 1.
    """
    if rounds < 1 or warm_up < 0:
        raise ValueError(f"at least one round, got rounds={rounds} and warm_up={warm_up}")
    clock = Clock(torch.device(device))
    for turn in range(-warm_up, rounds):
        for case in cases:
            span = case.take(clock)
            title = f"round {turn + 1} of {rounds}" if turn >= 0 else "warm-up"
            log(f"{title}: {case.method}, {case.vocabulary}: {span.wall:.3f} s")
            if turn < 0:
                case.spans.clear()
                case.stages.clear()


def machine(device: torch.device | str) -> dict[str, Any]:
    """Device and versions of a measurement."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "system": platform.platform(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def ratios(cases: list[Case]) -> list[dict[str, Any]]:
    """Time of each other method over the first one's, vocabulary by vocabulary."""
    first = cases[0].method
    by_key = {(case.method, case.vocabulary): case for case in cases}
    found = []
    for case in cases:
        own = by_key.get((first, case.vocabulary))
        if case.method != first and own is not None:
            each = {what: case.best(what) / own.best(what) for what in ("wall", "processor")}
            found.append(
                {"vocabulary": case.vocabulary, "method": case.method, "over": first, **each}
            )
    return found


def over_floor(cases: list[Case]) -> list[dict[str, Any]]:
    """How many times the encoder's own time each case takes."""
    floor = {case.method: case for case in cases if case.vocabulary == ENCODER_ALONE}
    found = []
    for case in cases:
        if case.vocabulary != ENCODER_ALONE and case.method in floor:
            alone = floor[case.method]
            each = {what: case.best(what) / alone.best(what) for what in ("wall", "processor")}
            found.append({"method": case.method, "vocabulary": case.vocabulary, **each})
    return found


def growth(cases: list[Case]) -> list[dict[str, Any]]:
    """How many times a method's first vocabulary each further one takes."""
    firsts: dict[str, Case] = {}
    found = []
    for case in cases:
        if case.vocabulary == ENCODER_ALONE:
            continue
        first = firsts.setdefault(case.method, case)
        if first is not case:
            each = {what: case.best(what) / first.best(what) for what in ("wall", "processor")}
            about = {"method": case.method, "vocabulary": case.vocabulary}
            found.append({**about, "over": first.vocabulary, **each})
    return found


def as_dict(cases: list[Case], device: torch.device | str = "cpu") -> dict[str, Any]:
    """For JSON: where and what, every time in seconds, ratios to the first method and the floor."""
    return {
        "machine": machine(device),
        "cases": [case.as_dict() for case in cases],
        "over_first": ratios(cases),
        "over_encoder": over_floor(cases),
        "over_first_vocabulary": growth(cases),
    }


def as_table(cases: list[Case]) -> str:
    """For people: seconds, stages by processor time, ratios."""
    width = max(len(case.method) for case in cases) + 2
    lines = [
        f"{'method':<{width}}{'vocabulary':<15}{'kept':>6}{'wall best':>11}{'median':>9}"
        f"{'processor':>11}{'median':>9}   stages, processor seconds"
    ]
    for case in cases:
        row = case.as_dict()
        stages = "  ".join(f"{name} {s['processor']:.3f}" for name, s in row["stages"].items())
        kept = f"{row['kept']:.1f}" if "kept" in row else "-"
        times = (row[what][kind] for what in ("wall", "processor") for kind in ("best", "median"))
        wall, wall_median, processor, median = times
        lines.append(
            f"{case.method:<{width}}{case.vocabulary:<15}{kept:>6}{wall:>11.3f}{wall_median:>9.3f}"
            f"{processor:>11.3f}{median:>9.3f}   {stages}"
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

"""Text of a speed comparison for a terminal."""

from __future__ import annotations

from typing import Any

from .confidence import RatioInterval
from .speed import Case, growth, over_floor, ratios


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
        start = f"{row['method']}, {row['vocabulary']}:"
        lines.append(_ratio_text(start, "its encoder alone", row))
    for row in growth(cases):
        start = f"{row['method']}: {row['vocabulary']} takes"
        lines.append(_ratio_text(start, row["over"], row))
    for row in ratios(cases):
        start = f"{row['vocabulary']}: {row['method']} takes"
        lines.append(_ratio_text(start, row["over"], row))
    for case in cases:
        if case.agreement is not None:
            pair = f"{case.method} and {case.base}"
            lines.append(f"{case.vocabulary}: {pair} label {case.agreement:.2%} of pixels alike")
    return "\n".join(lines)


def _ratio_text(start: str, over: str, row: dict[str, Any]) -> str:
    """Line with the ratio of best times and that of turns, in processor time."""
    turns = row["turns"].get("processor")
    interval = f"; by turns {RatioInterval(**turns)}" if turns else ""
    return (
        f"{start} {row['processor']:.2f} x {over} ({row['wall']:.2f} by the wall clock){interval}"
    )

"""Report of a check as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .plan import PRECISIONS

MIB = 1 << 20


def markdown(result: Mapping[str, Any]) -> str:
    """Page with the machine, the device tests, the differences and the speeds."""
    about, tests = result["machine"], result["tests"]
    counts = ", ".join(f"{tests[kind]} {kind}" for kind in ("passed", "failed", "skipped"))
    parts = [
        f"# Check of {about['device']}",
        "",
        f"torch {about['torch']}, CUDA {about['cuda'] or 'none'}, {about['system']}, "
        f"{result['started']}.",
        "",
        f"Device tests: {counts if tests['ran'] else 'left out'}.",
        "",
        "## Outputs compared with a CPU in single precision",
        "",
        "Share of pixels with another label, and the largest difference of a score. Weights are "
        "random, so that scores of categories are close.",
        "",
        *table(("method", *PRECISIONS), map(_outputs_row, result["outputs"].items())),
        "",
        "## Images a second and peak memory in MiB",
        "",
        f"One image of {result['plan']['size'][0]} x {result['plan']['size'][1]}, from its pixels "
        f"to the label map, by number of names. Selectors by image keep {result['plan']['kept']}.",
        "",
        *table(("method", *_counts(result)), [_speed_row(*row) for row in result["speed"].items()]),
        "",
        "## Head and decoder compared with the official layout",
        "",
        "From the same features and weights: times as fast, share of its peak memory, and largest "
        "difference of a logit.",
        "",
        *table(
            ("method", *_counts(result)),
            [_official_row(*row) for row in result["official"].items()],
        ),
    ]
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _counts(result: Mapping[str, Any]) -> list[str]:
    return [str(count) for count in result["plan"]["categories"]]


def _outputs_row(item: tuple[str, Any]) -> list[str]:
    name, each = item
    if "error" in each:
        return [name, *[_error(each)] * len(PRECISIONS)]
    cells = []
    for kind in PRECISIONS:
        found = each[kind]
        if "error" in found:
            cells.append(_error(found))
            continue
        largest = "" if found["largest"] is None else f", {found['largest']:.1e}"
        cells.append(f"{found['other_labels']:.2%}{largest}")
    return [name, *cells]


def _speed_row(name: str, cases: Mapping[str, Any]) -> list[str]:
    return [name, *(_cell(case, _speed) for case in _each(cases))]


def _official_row(name: str, cases: Mapping[str, Any]) -> list[str]:
    return [name, *(_cell(case, _ratio) for case in _each(cases))]


def _each(cases: Mapping[str, Any]) -> list[Any]:
    return [cases] if "error" in cases else list(cases.values())


def _cell(case: Mapping[str, Any], text: Any) -> str:
    return _error(case) if "error" in case else text(case)


def _speed(case: Mapping[str, Any]) -> str:
    peak = "" if case["peak"] is None else f", {case['peak'] / MIB:,.0f}"
    return f"{case['images_per_second']:.3g}{peak}"


def _ratio(case: Mapping[str, Any]) -> str:
    official = case["official"]
    if "error" in official:
        return f"{_speed(case['ours'])}; official {_error(official)}"
    share = case["share_of_memory"]
    memory = "" if share is None else f", {share:.2f}"
    return f"{case['times_as_fast']:.2f} x{memory}, {official['largest']:.1e}"


def _error(case: Mapping[str, Any]) -> str:
    return f"error: {case['error'].splitlines()[0].replace('|', '/')[:80]}"

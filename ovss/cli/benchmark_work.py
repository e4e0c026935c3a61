"""`ovss benchmark work`: counts of what methods compute, compared with recorded counts."""

from __future__ import annotations

import argparse

from .options import LARGEST_VOCABULARY, add_image_size, integer_in

__all__ = ["add_work_flags", "run_work"]


def add_work_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark work`."""
    add = parser.add_argument
    add(
        "methods",
        nargs="*",
        metavar="METHOD",
        help="methods to count (default: all cases in --history)",
    )
    add(
        "--categories",
        type=integer_in(1, LARGEST_VOCABULARY),
        nargs="+",
        default=[150],
        metavar="N",
        help="vocabulary sizes (default: 150)",
    )
    add(
        "--kept",
        type=integer_in(1, LARGEST_VOCABULARY),
        default=32,
        metavar="N",
        help="number of categories that a view keeps, for methods whose selector depends on the "
        "image (default: 32)",
    )
    add_image_size(parser)
    add(
        "--by-shape",
        action="store_true",
        help="count one view of a model without memory, stage by stage, instead of a whole image",
    )
    add(
        "--history",
        default="benchmarks/work.json",
        metavar="FILE",
        help="recorded counts to compare with (default: %(default)s)",
    )
    add("--record", metavar="REASON", help="write the new counts to --history with this reason")
    add("--json", metavar="FILE", help="write every count as JSON")


def run_work(args: argparse.Namespace) -> int:
    """Counts cases and compares them with the recorded counts; returns 1 if one rose."""
    from ovss.benchmark.arguments import write_json
    from ovss.benchmark.work import WorkCase, count_work, work_text
    from ovss.benchmark.work_history import changes, read_history, rises, write_history

    history = read_history(args.history)
    cases = [
        WorkCase(method, categories, args.kept, (args.size[0], args.size[1]), args.by_shape)
        for method in args.methods
        for categories in args.categories
    ]
    if not args.methods:
        cases = [count.case for count in history.counts]
    if not cases:
        raise ValueError(f"{args.history} has no recorded counts. Name methods to count")
    counts, risen = [], []
    for case in cases:
        counts.append(count_work(case))
        print(work_text(counts[-1]), flush=True)
        before = history.find(case)
        if before is not None:
            print(changes(counts[-1], before), flush=True)
            risen += rises(counts[-1], before)
    print(*risen, sep="\n", end="\n" if risen else "")
    if args.json:
        write_json(args.json, {"cases": [count.as_dict() for count in counts], "rises": risen})
    if args.record is not None:
        write_history(history.with_counts(counts, args.record), args.history)
        return 0
    return 1 if risen else 0

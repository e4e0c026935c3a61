"""Fuzz test of every entry point, with more cases or other seeds than the test suite.

python -m tests.fuzz                                  one case per recipe, counts by class
python -m tests.fuzz --seed 3 --cases 2000 --only images results
python -m tests.fuzz --case images/7 --keep folder    one case, its output, and its files
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Runs cases and prints the failing ones and the counts; returns 1 if any failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=None, help="seed of all cases (default: that of the tests)")
    add("--cases", type=int, help="number of cases (default: one per recipe)")
    add("--only", nargs="+", metavar="CLASS", help="classes of input")
    add("--case", metavar="ID", help="run one case and show its output")
    add("--keep", metavar="DIR", help="folder for the files of --case, which stays")
    add("--material", metavar="DIR", help="folder that keeps the valid material between runs")
    add("--slowest", type=int, default=0, metavar="N", help="show the N slowest cases")
    add("--limit", type=float, default=20.0, metavar="S", help="processor seconds a case may take")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ovss-fuzz-base-") as temporary:
        os.environ["OVSS_CACHE_DIR"] = str(Path(temporary) / "cache")
        base = _material(Path(args.material) if args.material else Path(temporary) / "base")
        return _one(args, base) if args.case else _all(args, base)


def _material(base: Path) -> Path:
    from .material import NEEDED, make_material
    from .runner import warm_up

    warm_up()
    base = base.resolve()
    if all((base / name).exists() for name in NEEDED):
        return base
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    return make_material(base)


def _one(args: argparse.Namespace, base: Path) -> int:
    from .groups import DEFAULT_SEED, find_case
    from .runner import run_case

    keep = Path(args.keep) if args.keep else None
    if keep:
        keep.mkdir(parents=True)
    case = find_case(args.case, DEFAULT_SEED if args.seed is None else args.seed)
    outcome = run_case(case, base, args.limit, keep)
    ending = outcome.ending
    print(f"{ending.out}\n--- standard error\n{ending.err}{ending.native}\n---")
    print(f"status {ending.status}\n{outcome}")
    return 1 if outcome.problems else 0


def _all(args: argparse.Namespace, base: Path) -> int:
    from .groups import DEFAULT_SEED, GROUPS, shares
    from .report import Counts
    from .runner import run_case

    seed = DEFAULT_SEED if args.seed is None else args.seed
    unknown = sorted(set(args.only or ()) - set(GROUPS))
    if unknown:
        sys.exit(f"error: unknown class {unknown[0]!r}. Choose from {', '.join(GROUPS)}")
    counts, slow, start = Counts(), [], time.monotonic()
    for name, count in shares(args.cases, args.only).items():
        for case in GROUPS[name].cases(seed, count):
            outcome = run_case(case, base, args.limit)
            counts.add(outcome)
            slow.append((outcome.seconds, str(outcome).splitlines()[0]))
            if outcome.problems:
                print(f"{outcome}\n    again: python -m tests.fuzz --seed {seed} --case {case.id}")
    for seconds, line in sorted(slow, reverse=True)[: args.slowest]:
        print(f"{seconds:6.2f} s  {line[:150]}")
    print("\n".join(counts.lines()))
    print(f"seed {seed}, {time.monotonic() - start:.0f} s")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())

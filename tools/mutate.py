"""Plants known bugs in a copy of the repository, one at a time, and checks that tests catch them.

  python tools/mutate.py                       every bug, with the tests named for it
  python tools/mutate.py --only 'iou|harmonic' those whose name or file fits a pattern
  python tools/mutate.py --json found.json     write results as they come, and reuse them next time

The bugs are listed in tools/mutations/*.py. The working tree is never changed: tests run in a
temporary copy, in which one file at a time is replaced. At the end, the tests that caught a bug run
once more on the unchanged copy, where they must pass. The exit status is 0 if every bug was caught,
1 if not, and 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutating.bugs import (
    NotApplicableError,
    Outcome,
    PlantedBug,
    key_of,
    line_of,
    load_bugs,
    store,
    stored,
    summary,
)
from mutating.tree import CAUGHT, PASSED, Tree

ROOT = Path(__file__).resolve().parents[1]
MISSED, NOT_APPLICABLE, UNSOUND = "MISSED", "no longer applies", "test fails without the bug"


def try_bug(bug: PlantedBug, tree: Tree, tests: tuple[str, ...], seconds: float) -> Outcome:
    """Plants one bug in a copy, runs its tests and restores the file."""
    outcome = Outcome(bug.name, bug.file, NOT_APPLICABLE, "", 0.0, key_of(bug, ROOT))
    try:
        source = bug.apply(tree.read(bug.file))
    except (NotApplicableError, OSError) as error:
        return replace(outcome, by=str(error))
    start = time.monotonic()
    with tree.changed(bug.file, source):
        status, by = tree.run_tests(tests, seconds)
    status = MISSED if status == PASSED else status
    return replace(outcome, status=status, by=by, seconds=round(time.monotonic() - start, 1))


def try_all(
    bugs: list[PlantedBug], args: argparse.Namespace, known: dict[str, Outcome]
) -> list[Outcome]:
    """Outcomes of all bugs, in their order; each is printed and stored as it comes."""
    found = {bug.name: known[key] for bug in bugs if (key := key_of(bug, ROOT)) in known}
    todo = [bug for bug in bugs if bug.name not in found]
    trees: queue.Queue[Tree] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="ovss-mutate-") as folder:
        copies = [
            Tree.copy(ROOT, Path(folder) / str(number))
            for number in range(min(args.jobs, max(len(todo), 1)))
        ]
        for tree in copies:
            trees.put(tree)

        def one(bug: PlantedBug) -> Outcome:
            tree = trees.get()
            try:
                return try_bug(bug, tree, () if args.all_tests else bug.tests, args.seconds)
            finally:
                trees.put(tree)

        pool = ThreadPoolExecutor(args.jobs)
        try:
            for outcome in pool.map(one, todo):
                found[outcome.bug] = outcome
                print(line_of(outcome), flush=True)
                store(args.json, list(found.values()))
            outcomes = [found[bug.name] for bug in bugs]
            outcomes = control(outcomes, copies[0], args.seconds)
        finally:  # after an interruption, nothing more is started
            for tree in copies:
                tree.close()
            pool.shutdown(cancel_futures=True)
    store(args.json, outcomes)
    return outcomes


def control(outcomes: list[Outcome], tree: Tree, seconds: float) -> list[Outcome]:
    """Outcomes after their tests ran on the unchanged copy, where a failing test proves nothing."""
    tests = sorted({o.by for o in outcomes if o.status == CAUGHT and not o.confirmed})
    if not tests:
        return outcomes
    print(f"control: {len(tests)} tests on the unchanged copy", flush=True)
    failing = tree.failing_tests(tests, 4 * seconds)
    return [
        outcome
        if outcome.by not in tests
        else replace(outcome, status=UNSOUND)
        if outcome.by in failing
        else replace(outcome, confirmed=True)
        for outcome in outcomes
    ]


def build_parser() -> argparse.ArgumentParser:
    """Parser of the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="PATTERN", help="regular expression for names and files")
    parser.add_argument("--list", action="store_true", help="print the bugs and stop")
    parser.add_argument("--jobs", type=int, default=1, help="bugs tried at a time (default: 1)")
    parser.add_argument(
        "--all-tests", action="store_true", help="run the whole suite instead of the named tests"
    )
    parser.add_argument(
        "--seconds", type=float, help="time limit of a bug (default: 300, whole suite 3600)"
    )
    parser.add_argument("--json", metavar="FILE", help="file of results, reused by the next run")
    parser.add_argument("--again", action="store_true", help="ignore results in --json FILE")
    return parser


def main() -> int:
    """Runs the command; returns its exit status."""
    parser = build_parser()
    args = parser.parse_args()
    if args.jobs < 1 or (args.seconds is not None and args.seconds <= 0):
        parser.error("--jobs must be at least 1 and --seconds above 0")
    args.seconds = args.seconds or (3600 if args.all_tests else 300)
    bugs = load_bugs()
    if args.only:
        pattern = re.compile(args.only, re.IGNORECASE)
        bugs = [bug for bug in bugs if pattern.search(bug.name) or pattern.search(bug.file)]
    if not bugs:
        parser.error(f"no planted bug fits {args.only!r}. --list shows them")
    if args.list:
        print("\n".join(f"{bug.name:<52} {bug.file:<40} {' '.join(bug.tests)}" for bug in bugs))
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    outcomes = try_all(bugs, args, stored(args.json, args.again))
    print(summary(outcomes))
    return int(any(outcome.status != CAUGHT for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

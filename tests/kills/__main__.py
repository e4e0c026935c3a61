"""Kills commands at random moments and prints what held.

python -m tests.kills --kills 50
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kills.jobs import JOBS
from tests.kills.killing import kill_and_resume


def main() -> int:
    """Runs the kills; the status is 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="number of kills over all commands")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--only", default="", help="part of the name of the commands to run")
    args = parser.parse_args()
    jobs = [job for job in JOBS if args.only in job.name]
    print(f"{'command':22}{'kills':>6}{'runs':>6}  last child ended after   faults", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ovss-kills-") as folder:
        for index, job in enumerate(jobs):
            kills = args.kills // len(jobs) + (index < args.kills % len(jobs))
            place = Path(folder, str(index))
            try:
                tally = kill_and_resume(job, kills, place, args.seed)
            except RuntimeError as error:
                print(f"{job.name:22}{error}", flush=True)
                failed += 1
                continue
            print(
                f"{job.name:22}{tally.kills:6}{tally.runs:6}{tally.slowest_child:21.2f} s"
                f"{len(tally.faults):9}",
                flush=True,
            )
            for fault in tally.faults:
                print(f"  {fault}", flush=True)
            failed += len(tally.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Segment and evaluate a few scenes of the mini world with the model that comes along.

The scenes are drawn from a seed that training never used; some of their categories never occurred
in training at all.
"""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path

from ..defaults import METHOD

VOCABULARY = "mini_150"
BASELINES = ("cat_seg_mini", "maskclip_mini")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=METHOD, help="default: %(default)s")
    parser.add_argument("--weights", default="default", metavar="FILE")
    parser.add_argument(
        "--baselines",
        nargs="*",
        default=BASELINES,
        metavar="METHOD",
        help=f"scored on the same scenes (default: {' '.join(BASELINES)})",
    )
    parser.add_argument("--out", default="outputs/demo", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=6, metavar="N", help="scenes to draw")
    parser.add_argument("--scenes", type=int, default=40, metavar="N", help="scenes to score")
    parser.add_argument("--size", type=int, default=96, help="of the scenes, in pixels")


def run(args: argparse.Namespace) -> int:
    from ..demo import evaluate, score_table, summary_table, write_scenes
    from .main import main

    start, out = time.monotonic(), Path(args.out)
    write_scenes(out / "scenes", VOCABULARY, args.pictures, args.size)
    command = ["segment", str(out / "scenes"), "--vocabulary", VOCABULARY, "--out", str(out)]
    if args.model != METHOD:
        command += ["--model", args.model]
    if args.weights != "default":
        command += ["--weights", args.weights]
    print(f"$ ovss {shlex.join(command)}", flush=True)
    status = main(command)
    if status:
        return status
    print(f"\n{args.model} on {args.scenes} held-out scenes, {VOCABULARY} vocabulary:", flush=True)
    figures = {args.model: evaluate(args.model, args.weights, args.scenes, out)}
    print(score_table(figures[args.model]), end="\n\n", flush=True)
    for baseline in args.baselines:
        figures[baseline] = evaluate(baseline, "default", args.scenes, out)
    print(summary_table(figures))
    print(f"\npictures: {out}/*_overlay.png ({time.monotonic() - start:.0f} s in all)")
    return 0

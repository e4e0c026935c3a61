"""Run a recorded evaluation again and compare every metric.

  ovss reproduce RESULT.json
  ovss reproduce RESULT.json --weights FILE --data-root DIR   if files are elsewhere on this machine

Config, protocol and weights are those of the result file. Before the first image, the command
checks the hashes of weights, encoder and protocol and the number of images. At the end it compares
every metric, the IoU of every category and the labels. Other package versions are reported, but not
refused. The exit code is 0 if the result was reproduced, otherwise 1.
"""

from __future__ import annotations

import argparse
import sys

from .options import add_launcher_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss reproduce`."""
    parser.add_argument(
        "result", metavar="RESULT.json", help="result file written by ovss test --out"
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="path of the same weights on this machine"
    )
    parser.add_argument(
        "--data-root", metavar="DIR", help="path of the same dataset on this machine"
    )
    parser.add_argument(
        "--encoder", metavar="FILE", help="path of the encoder's pre-trained file on this machine"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="POINTS",
        help="tolerance in percentage points (default: 0.0001; 0.05 on another kind of device)",
    )
    parser.add_argument("--out", metavar="FILE", help="write the new result as JSON")
    parser.add_argument(
        "--work-dir", metavar="DIR", help="folder for logs (default: work_dirs/reproduce_RESULT)"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="run with other weights, another protocol or other data, and report the differences",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: a GPU)")
    add_launcher_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the evaluation; returns 0 if every metric was reproduced, otherwise 1."""
    from pathlib import Path

    from ovss.distributed import stop
    from ovss.results.comparison import compare
    from ovss.results.reproduce import model_check, set_up
    from ovss.results.result_file import ensure_place, read_result, write_result
    from ovss.results.run import evaluate, use_device

    if args.tolerance is not None and not args.tolerance >= 0:
        raise ValueError(f"--tolerance must be 0 or more percentage points, got {args.tolerance}")
    recorded = read_result(args.result)
    if args.out:
        ensure_place(args.out)
    if args.device is not None:
        use_device(args.device)
    places = (args.weights, args.data_root, args.encoder)
    config, weights, protocol = set_up(recorded, args.result, *places, anyway=args.anyway)
    result = evaluate(
        config,
        config_name=recorded.config_name,
        protocol=protocol,
        weights=weights,
        work_dir=args.work_dir or f"work_dirs/reproduce_{Path(args.result).stem}",
        launcher=args.launcher,
        resume=args.resume,
        command=["ovss", *sys.argv[1:]],
        data_name=recorded.data.name,
        check=None if args.anyway else model_check(recorded, args.result),
    )
    stop()
    if result is None:  # not the first rank
        return 0
    if args.out:
        write_result(args.out, result)
    comparison = compare(recorded, result, args.tolerance)
    print(comparison)
    return 0 if comparison.same else 1

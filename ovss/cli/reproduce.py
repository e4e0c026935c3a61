"""Run a recorded evaluation again and compare every figure.

  ovss reproduce RESULT.json
  ovss reproduce RESULT.json --weights FILE --data-root DIR   where the files are on this machine

Config, protocol and weights are those of the result file; before the first picture the checksums
of the weights and of the encoder, the protocol's hash and the number of pictures are checked, in
the end every metric, every category and the census of the labels. Other versions of packages are
told, not refused. Exit code: 0 reproduced, 1 not, or an error.
"""

from __future__ import annotations

import argparse
import sys

from ovss.distributed import LAUNCHERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every flag of `ovss reproduce`."""
    parser.add_argument("result", metavar="RESULT.json", help="written by ovss test --out")
    parser.add_argument("--weights", metavar="FILE", help="where the same weights are here")
    parser.add_argument("--data-root", metavar="DIR", help="where the same data set is here")
    parser.add_argument("--encoder", metavar="FILE", help="where its pre-trained file is here")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="POINTS",
        help="of percent (default: 0.0001 on the same kind of device, 0.05 on another)",
    )
    parser.add_argument("--out", metavar="FILE", help="the new result as JSON")
    parser.add_argument("--work-dir", metavar="DIR", help="default: work_dirs/reproduce_RESULT")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="run with other weights, another protocol or other data; the comparison tells",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: a GPU)")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="by launchers")


def run(args: argparse.Namespace) -> int:
    """Returns 0 where every figure came out again, else 1."""
    from pathlib import Path

    from ovss.distributed import stop
    from ovss.results.comparison import compare
    from ovss.results.reproduce import model_check, set_up
    from ovss.results.result_file import ensure_place, read_result, write_result
    from ovss.results.run import evaluate, use_device

    if args.tolerance is not None and not args.tolerance >= 0:
        raise ValueError(f"--tolerance is in points of percent, 0 or more; got {args.tolerance}")
    recorded = read_result(args.result)
    if args.out:
        ensure_place(args.out)
    if args.device:
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
    if result is None:  # not the first process
        return 0
    if args.out:
        write_result(args.out, result)
    comparison = compare(recorded, result, args.tolerance)
    print(comparison)
    return 0 if comparison.same else 1

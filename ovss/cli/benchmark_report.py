"""`ovss benchmark report`: a page that compares methods, datasets and sizes of the vocabulary."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from .options import LARGEST_VOCABULARY, integer_in

if TYPE_CHECKING:
    from ovss.report.plan import ComparedMethod, ReportPlan

__all__ = ["add_report_flags", "method_choice", "run_report"]


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark report`."""
    add = parser.add_argument
    add(
        "methods",
        nargs="*",
        metavar="METHOD",
        help="config, with CONFIG=FILE for other weights and settings after commas (default: all "
        "mini methods that are ready to use)",
    )
    add(
        "--on",
        nargs="+",
        metavar="DATASET",
        help="datasets (default: mini_20 mini_150)",
    )
    add(
        "--categories",
        nargs="+",
        type=integer_in(1, LARGEST_VOCABULARY),
        metavar="N",
        help="sizes of the vocabulary at which cost is measured (default: 20 150 556 2000 10000)",
    )
    add("--scenes", type=integer_in(1), metavar="N", help="images per dataset (default: 200)")
    add(
        "--plan",
        metavar="FILE",
        help="YAML or JSON file with methods, datasets, sizes and ablations; flags "
        "replace its values",
    )
    add("--again", action="store_true", help="also measure cells that are measured already")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the report; a folder with cells of an earlier run continues it",
    )


def run_report(args: argparse.Namespace) -> int:
    """Makes a report; returns 1 if cells failed, which are rows with their reason."""
    from functools import partial
    from pathlib import Path

    from ovss.io.files import ensure_writable
    from ovss.report.make import make_report

    plan = _plan(args)
    ensure_writable(args.out)
    log = partial(print, flush=True)
    failed = make_report(plan, args.out, _command(args), args.again, log)
    for cell in failed:
        print(f"failed: {cell.job}: {cell.problem}")
    print(f"report: {Path(args.out, 'report.html')}")
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> ReportPlan:
    from dataclasses import replace

    from ovss.benchmark.table_jobs import methods_with_weights
    from ovss.report.plan import ReportPlan
    from ovss.report.plan_file import read_plan

    from .progress import print_note

    chosen = list(dict.fromkeys(args.methods))
    if args.plan:
        plan = read_plan(args.plan)
    else:
        names = chosen or methods_with_weights(print_note)
        plan = ReportPlan(tuple(map(method_choice, names)), ("mini_20", "mini_150"))
    changes: dict[str, Any] = {
        "methods": tuple(map(method_choice, chosen)) or plan.methods,
        "datasets": tuple(dict.fromkeys(args.on or ())) or plan.datasets,
        "categories": tuple(args.categories or ()) or plan.categories,
        "images": args.scenes or plan.images,
    }
    return replace(plan, device=args.device, **changes)


def method_choice(text: str) -> ComparedMethod:
    """Method of ``CONFIG[=WEIGHTS][,KEY=VALUE...]``.

    Raises:
        ValueError: the config or the weights are empty.
    """
    from ovss.report.plan import ComparedMethod

    first, comma, settings = text.partition(",")
    name, sign, weights = first.partition("=")
    if not name or (sign and not weights):
        raise ValueError(f"Expected CONFIG or CONFIG=WEIGHTS, got {text!r}. Name both")
    return ComparedMethod(f"{name}{comma}{settings}", weights or "default")


def _command(args: argparse.Namespace) -> str:
    """Command line that makes the same report."""
    command = ["ovss", "benchmark", "report", *args.methods]
    for flag in ("on", "categories", "scenes", "plan", "device", "out"):
        value = getattr(args, flag)
        if value is not None and (flag, value) != ("device", "cpu"):
            command += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(command)

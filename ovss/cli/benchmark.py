"""Measure accuracy, parameters, FLOPs, time and memory of methods, and what a selector keeps.

  ovss benchmark table --on mini_150                          one table of all bundled mini methods
  ovss benchmark speed cat_seg_mini dcp_clip_mini             time, by component
  ovss benchmark memory cat_seg_vit-b16 --categories 150      peak memory of an image
  ovss benchmark selection dcp_clip_mini --thresholds 0 0.5   what a selector keeps
  ovss benchmark images cat_seg_mini dcp_clip_mini            label maps on one sheet
  ovss benchmark work cat_seg_mini                            FLOPs, operator calls, bytes
  ovss benchmark audit dcp_clip_mini --on mini_150            names that are too close
  ovss benchmark report cat_seg_mini sed_mini --out report    a page that compares methods

METHOD is the name or path of a config. In `table`, `speed` and `report` you can add settings after
commas: cat_seg_mini,model.selector.k=8
"""

from __future__ import annotations

import argparse
import shlex
from contextlib import ExitStack
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from .benchmark_audit import add_audit_flags, run_audit
from .benchmark_flags import (
    add_images_flags,
    add_memory_flags,
    add_selection_flags,
    add_speed_flags,
    add_table_flags,
)
from .benchmark_report import add_report_flags, run_report
from .benchmark_work import add_work_flags, run_work
from .progress import print_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one sub-command per measurement."""
    measurements = parser.add_subparsers(dest="measurement", metavar="MEASUREMENT", required=True)
    for name, (summary, add_flags, _) in MEASUREMENTS.items():
        description = f"{summary[0].upper()}{summary[1:]}."
        subparser = measurements.add_parser(name, help=summary, description=description)
        add_flags(subparser)
        subparser.add_argument(
            "--device",
            default="cpu",
            metavar="NAME",
            help="cpu, cuda, cuda:1 (default: %(default)s)",
        )


def run(args: argparse.Namespace) -> int:
    """Runs one measurement; returns 0, or 1 if counted work rose or a cell of a report failed."""
    from ovss.api.method import choose_device
    from ovss.io.files import ensure_target

    args.device = str(choose_device(args.device))
    for flag in ("json", "markdown", "out"):
        if getattr(args, flag, None) and args.measurement != "report":  # its --out is a folder
            ensure_target(getattr(args, flag))
    _, _, measure = MEASUREMENTS[args.measurement]
    return measure(args) or 0


def _table(args: argparse.Namespace) -> None:
    from ovss.benchmark.arguments import by_method
    from ovss.benchmark.table import run
    from ovss.benchmark.table_jobs import methods_with_weights, plan
    from ovss.benchmark.table_text import benchmark_markdown, benchmark_text
    from ovss.io.files import write_text

    methods = list(dict.fromkeys(args.methods)) or methods_with_weights(print_note)
    weights = by_method(args.weights, methods)
    jobs = plan(methods, list(dict.fromkeys(args.on)), args.scenes, weights, args.device)
    rows = run(jobs, args.json, args.again, partial(print, flush=True))
    print(benchmark_text(rows))
    if args.markdown:
        write_text(args.markdown, benchmark_markdown(rows, table_command(args)))


def table_command(args: argparse.Namespace) -> str:
    """Command line that measures the same rows, without the flags that name output files."""
    command = ["ovss", "benchmark", "table", *args.methods]
    for flag in ("on", "scenes", "weights", "device"):
        value = getattr(args, flag)
        if value is not None:
            command += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(command)


def _speed(args: argparse.Namespace) -> None:
    if args.weights and args.scenes is None:
        raise ValueError("--weights needs --scenes, because without it all weights are random")
    if args.given_text and (args.scenes is not None or not args.step):
        raise ValueError("--given-text needs --step and cannot be combined with --scenes")
    if args.against and args.instead:
        raise ValueError("--against and --instead cannot be combined. Run the command twice")
    import torch

    from ovss.benchmark.arguments import write_json
    from ovss.benchmark.other_checkout import checkout_cases
    from ovss.benchmark.speed import as_dict, race
    from ovss.benchmark.speed_plan import SpeedPlan, make_cases
    from ovss.benchmark.speed_text import speed_table
    from ovss.layers.precision import check_precision, computing_in

    if args.precision != "float32" and (args.step or args.against):
        raise ValueError("--precision is for inference. Leave --step and --against out")
    keys = {field.name for field in fields(SpeedPlan)} - {"size"}
    plan = SpeedPlan(**{key: getattr(args, key) for key in keys}, size=_size(args))
    check_precision(args.precision, torch.device(args.device))
    with ExitStack() as stack:
        if args.against:
            cases = stack.enter_context(checkout_cases(plan, args.against))
        else:
            cases = make_cases(plan)
        stack.enter_context(computing_in(args.precision))
        race(cases, args.rounds, args.warm_up, args.device, partial(print, flush=True))
    print(f"\nseconds of {plan.unit}; {torch.get_num_threads()} threads\n{speed_table(cases)}")
    if args.json:
        write_json(args.json, {"unit": plan.unit, **_flags(args), **as_dict(cases, args.device)})


def _memory(args: argparse.Namespace) -> None:
    if args.step and args.instead:
        raise ValueError("--instead replaces inference, but --step trains. Leave --step out")
    from ovss.benchmark.arguments import write_json
    from ovss.benchmark.memory_case import MemoryCase, measure_memory

    keys = {field.name for field in fields(MemoryCase)} - {"overrides", "size"}
    settings = {key: getattr(args, key) for key in keys}
    peak, text_bytes = measure_memory(
        MemoryCase(**settings, overrides=args.cfg_options, size=_size(args))
    )
    print(peak)
    print(
        "the peak includes the text features, because the step encodes the vocabulary"
        if text_bytes is None
        else f"text features: {text_bytes / 2**20:,.1f} MiB of the memory held before, for "
        f"{args.categories} categories"
    )
    if args.json:
        held = {"before": peak.before, "above": peak.above, "text_features": text_bytes or 0}
        seconds = {"wall": peak.seconds, "processor": peak.cpu_seconds}
        write_json(args.json, {**_flags(args), "bytes": held, "seconds": seconds})


def _selection(args: argparse.Namespace) -> None:
    from ovss.benchmark.arguments import write_json
    from ovss.benchmark.images import open_dataset
    from ovss.benchmark.selection import curve
    from ovss.benchmark.selection_text import selection_text
    from ovss.models.build import build_segmentor
    from ovss.models.configs import load_config

    config = load_config(args.config, args.cfg_options)
    weights = None if args.weights.lower() == "none" else args.weights
    model = build_segmentor(config, weights, args.device)
    rows: list[dict[str, Any]] = []
    for dataset in args.on or [None]:
        data, title = open_dataset(config, dataset, args.scenes), dataset or "the config's dataset"
        print(title, flush=True)
        thresholds = args.thresholds or [None]
        points = curve(config, model, data, thresholds, args.scenes, partial(print, flush=True))
        print(selection_text(title, points), flush=True)
        rows += [{"data": title, **point.as_dict()} for point in points]
    if args.json:
        write_json(args.json, {**_flags(args), "points": rows})


def _images(args: argparse.Namespace) -> None:
    from ovss.benchmark.comparison_sheet import draw_sheet, label_maps, read_scenes
    from ovss.benchmark.images import open_dataset
    from ovss.io.files import write_atomic
    from ovss.models.build import build_segmentor
    from ovss.models.configs import load_config

    data = open_dataset(load_config(args.methods[0].partition("=")[0]), args.on)
    scenes, predictions = read_scenes(data, args.scenes), {}
    for method in args.methods:
        name, _, weights = method.partition("=")
        model = build_segmentor(load_config(name), weights or "default", device=args.device)
        title = Path(name).stem
        predictions[method if title in predictions else title] = label_maps(
            model, scenes, args.device
        )
        print(f"{method}: {len(scenes.images)} scenes", flush=True)
    sheet = draw_sheet(scenes, predictions)
    write_atomic(args.out, partial(sheet.save, format="png"))
    print(args.out)


def _size(args: argparse.Namespace) -> tuple[int, int] | None:
    return (args.size[0], args.size[1]) if args.size else None


def _flags(args: argparse.Namespace) -> dict[str, Any]:
    """Flags of a measurement, for its JSON file."""
    return {key: value for key, value in vars(args).items() if key not in ("command", "json")}


MEASUREMENTS = {
    "table": ("accuracy, parameters, FLOPs, time and memory in one table", add_table_flags, _table),
    "speed": ("time of inference or of a training step, by component", add_speed_flags, _speed),
    "memory": ("peak memory of an image or of a training step", add_memory_flags, _memory),
    "selection": (
        "what a selector keeps, and its recall, mIoU and cost",
        add_selection_flags,
        _selection,
    ),
    "images": ("label maps of several methods on one sheet", add_images_flags, _images),
    "work": ("FLOPs, operator calls and bytes of methods, counted", add_work_flags, run_work),
    "audit": ("names of a vocabulary that a text space confuses", add_audit_flags, run_audit),
    "report": ("page that compares methods in every respect", add_report_flags, run_report),
}
"""Name -> (summary, function that adds its flags, function that runs it)."""

"""Show which kernels were chosen on this machine, and the measurements behind the choice.

ovss kernels                           choices so far
ovss kernels dcp_clip_vit-b16          run a method once with random weights, then show them
ovss kernels dcp_clip_vit-b16 --again  measure again, for example on a machine that is idle now

Kernels are different ways to compute the same numbers. Each class of shapes is measured once on a
machine. Add --no-tune to any command to use the fixed choice instead.
"""

from __future__ import annotations

import argparse
import json

from .options import (
    LARGEST_VOCABULARY,
    add_config_options,
    add_image_size,
    integer_in,
)
from .progress import print_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss kernels`."""
    parser.add_argument(
        "config", nargs="?", metavar="METHOD", help="config name or path to run: cat_seg_vit-b16"
    )
    parser.add_argument(
        "--categories",
        type=integer_in(1, LARGEST_VOCABULARY),
        default=150,
        metavar="N",
        help="number of names for METHOD (default: %(default)s)",
    )
    add_image_size(parser)
    parser.add_argument("--again", action="store_true", help="delete the choices first")
    parser.add_argument("--json", action="store_true", help="print JSON, times in seconds")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the choices; returns 0."""
    from ovss.kernels import choices_file, is_tuning, machine_facts
    from ovss.kernels.operation import forget, measured

    if args.again:
        forget()
    if args.config is not None:
        _run_once(args)
    rows: list[dict[str, object]] = [
        {
            "operation": operation,
            "shape": shape,
            "kernel": choice.kernel,
            "fixed": choice.fixed,
            "seconds": choice.seconds,
        }
        for operation, shape, choice in measured()
    ]
    file = choices_file()
    if args.json:
        content = {"machine": machine_facts(), "file": file and str(file), "choices": rows}
        print(json.dumps(content, indent=2, allow_nan=False))
        return 0
    facts = machine_facts()
    print(f"processor: {facts['processor']} ({facts['instructions']}), torch {facts['torch']}")
    print(f"file: {file or 'none, because OVSS_CACHE_DIR turns the disk cache off'}")
    if not is_tuning():
        print_note("tuning is off, so the fixed kernels are used")
    print(_table(rows) if rows else "Nothing was measured yet. Name a method to run.")
    return 0


def _run_once(args: argparse.Namespace) -> None:
    """Runs a method with random weights on a random image, which measures its kernels."""
    import torch

    from ovss.benchmark.arguments import random_model
    from ovss.benchmark.stand_ins import numbered_names, random_image, random_text

    _, model = random_model(args.config, args.cfg_options, "cpu")
    text = random_text(model.eval(), numbered_names(args.categories))
    size = (args.size[0], args.size[1])
    with torch.inference_mode():
        model.label_map(model.scores(random_image(size), text), size)


def _table(rows: list[dict[str, object]]) -> str:
    """Aligned columns: what was chosen, times in milliseconds, gain over the fixed kernel."""
    lines = [("operation", "shape and threads", "kernel", "times in ms", "against the fixed one")]
    for row in rows:
        seconds: dict[str, float] = row["seconds"]  # type: ignore[assignment]
        times = "  ".join(f"{name} {1e3 * value:.3g}" for name, value in sorted(seconds.items()))
        kernel, fixed = str(row["kernel"]), str(row["fixed"])
        gain = "fixed" if kernel == fixed else f"{seconds[fixed] / seconds[kernel]:.2f}x"
        lines.append((str(row["operation"]), str(row["shape"]), kernel, times, gain))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

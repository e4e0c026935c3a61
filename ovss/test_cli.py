"""Evaluate a method: the flags of `ovss test` and `tools/test.py`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from .train_cli import add_shared_flags, default_work_dir

__test__ = False  # a command, not tests


def build_parser(prog: str = "ovss test") -> argparse.ArgumentParser:
    """Every flag, in one place."""
    parser = argparse.ArgumentParser(prog=prog, description="Evaluate a method on a data set.")
    parser.add_argument("config", help="config file, or the name of one (cat_seg_mini)")
    parser.add_argument(
        "weights",
        nargs="?",
        default="default",
        help="checkpoint (default: the config's own), or none",
    )
    parser.add_argument("--on", metavar="DATASET", help="another data set: mini_20, a config file")
    parser.add_argument("--out", metavar="FILE", help="figures of every category as JSON")
    parser.add_argument("--show-dir", metavar="DIR", help="image, truth and prediction as pictures")
    parser.add_argument("--show-count", type=int, default=20, help="how many of them")
    add_shared_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "ovss test") -> int:
    """Print per-class IoU, both mIoU conventions, seen, unseen and harmonic mean.

    Returns:
        0; errors are raised, with what was wrong, where, and what to do.
    """
    arguments = build_parser(prog).parse_args(argv)
    from pathlib import Path

    from .files import write_atomic
    from .models import load_config, load_trained
    from .runner import bare_model, build_runner, set_local_rank, use_dataset

    set_local_rank(arguments.local_rank)
    config = load_config(arguments.config, arguments.cfg_options)
    if arguments.on:
        use_dataset(config, arguments.on)
    if arguments.show_dir:
        place = str(Path(arguments.show_dir).absolute())
        pictures = {"type": "PictureHook", "count": arguments.show_count, "folder": place}
        config.custom_hooks = [pictures]
    if "test_dataloader" not in config:
        raise KeyError(f"{arguments.config} names no data to test on: add --on DATASET")
    config.setdefault("test_cfg", {})
    work_dir = arguments.work_dir or config.get("work_dir") or default_work_dir(arguments.config)
    weights = None if arguments.weights.lower() == "none" else arguments.weights
    runner = build_runner(config, work_dir, launcher=arguments.launcher, testing=True)
    load_trained(bare_model(runner), config, weights)
    runner.test()
    report = runner.test_loop.evaluator.metrics[0].report
    if arguments.out and runner.rank == 0:
        figures = json.dumps({"config": arguments.config, **report.as_dict()}, indent=1)
        write_atomic(arguments.out, lambda file: file.write(figures.encode()))
    return 0

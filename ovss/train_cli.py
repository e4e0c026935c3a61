"""Train a method: the flags of `ovss train` and `tools/train.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def build_parser(prog: str = "ovss train") -> argparse.ArgumentParser:
    """Every flag, in one place."""
    parser = argparse.ArgumentParser(prog=prog, description="Train a method from its config.")
    parser.add_argument("config", help="config file, or the name of one (cat_seg_mini)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from the last checkpoint of the working directory, or from this one",
    )
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 where safe")
    parser.add_argument("--seed", type=int, help="of data order, augmentation and weights")
    add_shared_flags(parser)
    return parser


def add_shared_flags(parser: argparse.ArgumentParser) -> None:
    """What training and testing both take, under mmseg's names."""
    from mmengine.config import DictAction

    parser.add_argument("--work-dir", help="default: work_dirs/CONFIG")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="override keys"
    )
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="by launchers")


def main(argv: Sequence[str] | None = None, prog: str = "ovss train") -> int:
    """Train, validate, and write `weights.safetensors`, `curve.jsonl` and `curve.png`.

    Returns:
        0; errors are raised, with what was wrong, where, and what to do.
    """
    arguments = build_parser(prog).parse_args(argv)
    from .models import load_config
    from .runner import build_runner, export_weights, set_local_rank

    set_local_rank(arguments.local_rank)
    config = load_config(arguments.config, arguments.cfg_options)
    work_dir = arguments.work_dir or config.get("work_dir") or default_work_dir(arguments.config)
    runner = build_runner(
        config,
        work_dir,
        resume=arguments.resume,
        amp=arguments.amp,
        seed=arguments.seed,
        launcher=arguments.launcher,
    )
    runner.train()
    if runner.rank == 0:
        path = export_weights(runner, config)
        runner.logger.info(f"weights: {path}")
    return 0


def default_work_dir(config: str) -> str:
    """Where a run goes that does not say."""
    return str(Path("work_dirs") / Path(config).stem)

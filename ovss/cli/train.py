"""Train a method: the flags of `ovss train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ovss.distributed import LAUNCHERS

from .advice import with_advice
from .options import add_config_options


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
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bfloat16",
        choices=("bfloat16", "float16"),
        help="compute in this number type where it is safe (bfloat16 if none is named)",
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help="pictures that a process works on at a time: less memory, the same step",
    )
    parser.add_argument("--seed", type=int, help="of data order, augmentation and weights")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="take a few steps on made-up pictures, print memory and hours, leave nothing behind",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="of a dry run (default: 2)")
    add_shared_flags(parser)
    return parser


def add_shared_flags(parser: argparse.ArgumentParser) -> None:
    """What training and testing both take, under mmseg's names."""
    parser.add_argument("--work-dir", help="default: work_dirs/CONFIG")
    add_config_options(parser)
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="by launchers")


@with_advice("train")
def main(argv: Sequence[str] | None = None, prog: str = "ovss train") -> int:
    """Train, validate, and write `weights.safetensors`, `curve.jsonl` and `curve.png`.

    Returns:
        0; errors are raised, with what was wrong, where, and what to do.
    """
    parser = build_parser(prog)
    arguments = parser.parse_args(argv)
    if arguments.steps is not None and not arguments.dry_run:
        parser.error("--steps goes with --dry-run; --cfg-options train_cfg.max_iters=N trains less")
    if arguments.resume and arguments.dry_run:
        parser.error("--dry-run starts from nothing and leaves nothing: leave --resume out")
    from ovss.distributed import rank, stop
    from ovss.models.configs import load_config
    from ovss.training.build import build_runner, register_training
    from ovss.training.export import export_weights

    register_training()
    config = load_config(arguments.config, arguments.cfg_options)
    if arguments.micro_batch is not None:
        config.merge_from_dict({"train_cfg.micro_batch": arguments.micro_batch})
    if arguments.dry_run:
        from ovss.training.dry_run import dry_run

        steps = 2 if arguments.steps is None else arguments.steps
        found = dry_run(config, steps, arguments.amp, arguments.launcher, arguments.seed)
        if rank() == 0:
            print(found)
        stop()
        return 0
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
    path = export_weights(runner, config)
    runner.logger.info(f"weights: {path}")
    stop()
    return 0


def default_work_dir(config: str) -> str:
    """Where a run goes that does not say."""
    return str(Path("work_dirs") / Path(config).stem)

"""Train a method from its config (`ovss train`)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .advice import with_advice
from .options import add_config_options, add_launcher_flags
from .parser import HelpfulParser


def build_parser(prog: str = "ovss train") -> argparse.ArgumentParser:
    """Builds the parser with all flags of `ovss train`."""
    parser = HelpfulParser(prog=prog, description="Train a method from its config.")
    parser.add_argument("config", help="config file, or config name such as cat_seg_mini")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue an interrupted run from CHECKPOINT (default: the last one in --work-dir)",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bfloat16",
        choices=("bfloat16", "float16"),
        help="train with automatic mixed precision (default type: bfloat16)",
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help="images that each rank computes at once; saves memory and leaves the step unchanged",
    )
    parser.add_argument(
        "--track",
        metavar="NAMES",
        help="show the curve in tensorboard, mlflow or wandb (separate several with commas)",
    )
    parser.add_argument("--seed", type=int, help="seed of data order, augmentation and weights")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="run a few steps on random images, print memory and training time, write no files",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="number of steps of --dry-run (default: 2)"
    )
    add_shared_flags(parser)
    return parser


def add_shared_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that `ovss train` and `ovss test` share, named as in mmseg."""
    parser.add_argument(
        "--work-dir",
        metavar="DIR",
        help="folder for logs and results (default: work_dir of the config, or work_dirs/CONFIG)",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print the whole log (environment, config, hooks), which is always in the log file",
    )
    add_config_options(parser)
    add_launcher_flags(parser)


@with_advice("train")
def main(argv: Sequence[str] | None = None, prog: str = "ovss train") -> int:
    """Trains and validates a method, and writes its weights and curves to the working directory.

    Returns:
        Exit status 0; errors are raised.
    """
    parser = build_parser(prog)
    arguments = parser.parse_args(argv)
    if arguments.steps is not None and not arguments.dry_run:
        parser.error(
            "--steps requires --dry-run. To train fewer steps, use --cfg-options "
            "train_cfg.max_iters=N"
        )
    if arguments.resume and arguments.dry_run:
        parser.error("--dry-run always starts from scratch. Leave --resume out")
    from ovss.io.terminal import verbose_terminal

    with verbose_terminal(arguments.verbose):
        return _train(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from mmengine.logging import MMLogger

    from ovss.distributed import rank, stop
    from ovss.io.terminal import limit_terminal, say
    from ovss.models.configs import load_config
    from ovss.training.build import build_runner, register_training
    from ovss.training.export import export_weights

    limit_terminal(MMLogger.get_current_instance())
    register_training()
    config = load_config(arguments.config, arguments.cfg_options)
    if arguments.micro_batch is not None:
        config.merge_from_dict({"train_cfg.micro_batch": arguments.micro_batch})
    if arguments.track is not None:
        from ovss.training.tracking.choice import choose_trackers

        choose_trackers(config, arguments.track)
    if arguments.dry_run:
        from ovss.training.dry_run import dry_run

        steps = 2 if arguments.steps is None else arguments.steps
        report = dry_run(config, steps, arguments.amp, arguments.launcher, arguments.seed)
        if rank() == 0:
            print(report)
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
    say(runner.logger, f"trained weights: {path}")
    stop()
    return 0


def default_work_dir(config: str) -> str:
    """Working directory of a run if neither flags nor config name one."""
    return str(Path("work_dirs") / Path(config).stem)

"""Command `ovss test`: evaluates a method and writes its result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .advice import with_advice
from .evaluation_config import FOLDER_FLAGS, configured
from .options import KeyValues, add_precision_flag, integer_in
from .parser import HelpfulParser
from .train import add_shared_flags, default_work_dir


def build_parser(prog: str = "ovss test") -> argparse.ArgumentParser:
    """Parser with all flags of the command."""
    parser = HelpfulParser(prog=prog, description="Evaluate a method on a dataset.")
    parser.add_argument("config", help="config file, or name of a config (cat_seg_mini)")
    parser.add_argument(
        "weights",
        nargs="?",
        default="default",
        help="checkpoint, or none for random weights (default: the checkpoint of the config)",
    )
    data = parser.add_argument_group("data", "default: the test data of the config")
    source = data.add_mutually_exclusive_group()
    source.add_argument(
        "--on", metavar="DATASET", help="bundled dataset config (ade20k_150), or a config file"
    )
    source.add_argument(
        "--data", metavar="DIR", help="your own folder with images, labels and a class file"
    )
    data.add_argument("--split", metavar="NAME", help="split of --data (for example val)")
    data.add_argument(
        "--images", metavar="PATH", help="image folder inside --data (default: auto-detect)"
    )
    data.add_argument(
        "--masks",
        metavar="PATH",
        help="folder of label maps or annotation files, or a COCO file, inside --data "
        "(default: auto-detect)",
    )
    data.add_argument(
        "--classes", metavar="FILE", help="class file of --data (default: auto-detect)"
    )
    data.add_argument(
        "--mask-suffix", metavar="END", help="suffix of label file names (default: auto-detect)"
    )
    data.add_argument(
        "--limit",
        type=integer_in(1),
        metavar="N",
        help="evaluate only N images, spread evenly over the dataset; the result says so",
    )
    protocol = parser.add_argument_group(
        "protocol", "default: the protocol of the config; see `ovss list protocols`"
    )
    protocol.add_argument(
        "--protocol", metavar="NAME", help="named protocol (cat_seg, sed, sclip, ...)"
    )
    protocol.add_argument(
        "--protocol-options",
        nargs="+",
        action=KeyValues,
        metavar="FIELD=VALUE",
        help="values of protocol fields to change (views.window=512), recorded in the result",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the result as JSON, with everything needed to reproduce it",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: a GPU)")
    add_precision_flag(parser)
    parser.add_argument(
        "--show-dir", metavar="DIR", help="draw image, ground truth and prediction into this folder"
    )
    parser.add_argument(
        "--show-count",
        type=integer_in(0),
        default=20,
        metavar="N",
        help="number of images to draw (default: 20)",
    )
    add_shared_flags(parser)
    return parser


@with_advice("test")
def main(argv: Sequence[str] | None = None, prog: str = "ovss test") -> int:
    """Evaluates a method and prints per-class IoU, all metrics and the protocol.

    Returns:
        0; errors are raised.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(prog)
    arguments = parser.parse_args(tokens)
    from ovss.io.terminal import verbose_terminal

    with verbose_terminal(arguments.verbose):
        return _test(parser, arguments, [*prog.split(), *tokens])


def _test(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, command: list[str]
) -> int:
    from mmengine.logging import MMLogger

    from ovss.distributed import stop
    from ovss.io.files import ensure_writable
    from ovss.io.terminal import limit_terminal
    from ovss.results.result_file import ensure_place, write_result
    from ovss.results.run import evaluate, use_device, use_precision

    limit_terminal(MMLogger.get_current_instance())
    if not arguments.data and any(vars(arguments)[flag] for flag in FOLDER_FLAGS):
        parser.error("--split, --images, --masks, --classes and --mask-suffix require --data DIR")
    if arguments.out:
        ensure_place(arguments.out)
    if arguments.show_dir:
        ensure_writable(arguments.show_dir)
    if arguments.device is not None:
        use_device(arguments.device)
    notes: list[str] = []
    config, protocol, data_name = configured(arguments, notes)
    if arguments.precision != "float32":
        notes += use_precision(config, arguments.precision)
    if arguments.show_dir:
        place = str(Path(arguments.show_dir).absolute())
        config.custom_hooks = [
            {"type": "ImageHook", "count": arguments.show_count, "folder": place}
        ]
    result = evaluate(
        config,
        config_name=Path(arguments.config).stem,
        protocol=protocol,
        weights=None if arguments.weights.lower() == "none" else arguments.weights,
        work_dir=arguments.work_dir or config.get("work_dir") or default_work_dir(arguments.config),
        launcher=arguments.launcher,
        resume=arguments.resume,
        command=command,
        data_name=data_name,
        notes=notes,
    )
    stop()
    if result is not None:
        print(f"protocol: {protocol}")
        if arguments.out:
            write_result(arguments.out, result)
            print(f"result: {arguments.out}")
    return 0

"""Command `ovss test`: evaluates a method and keeps the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .advice import with_advice
from .options import KeyValues
from .train import add_shared_flags, default_work_dir

if TYPE_CHECKING:
    from mmengine.config import Config

    from ovss.protocols.settled import SettledProtocol

FOLDER_FLAGS = ("split", "images", "masks", "classes", "mask_suffix")
"""Flags that go with ``--data``."""


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
    data = parser.add_argument_group("data", "of the config, unless another is named")
    which = data.add_mutually_exclusive_group()
    which.add_argument("--on", metavar="DATASET", help="a known one: ade20k_150, or a config file")
    which.add_argument("--data", metavar="DIR", help="your own: images, label maps, class file")
    data.add_argument("--split", metavar="NAME", help="split of --data, for example val")
    data.add_argument(
        "--images", metavar="PATH", help="image folder inside --data (default: auto-detect)"
    )
    data.add_argument(
        "--masks", metavar="PATH", help="label-map folder inside --data (default: auto-detect)"
    )
    data.add_argument(
        "--classes", metavar="FILE", help="class file of --data (default: auto-detect)"
    )
    data.add_argument(
        "--mask-suffix", metavar="END", help="end of label-map names (default: auto-detect)"
    )
    how = parser.add_argument_group("protocol", "the config's, unless changed; docs/protocols.md")
    how.add_argument("--protocol", metavar="NAME", help="a named one: cat_seg, sed, sclip, ...")
    how.add_argument(
        "--protocol-options",
        nargs="+",
        action=KeyValues,
        metavar="FIELD=VALUE",
        help="other values of its fields (views.window=512); the result says so",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the result as JSON, with everything it takes to reproduce it",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: a GPU)")
    parser.add_argument("--show-dir", metavar="DIR", help="draw image, ground truth and prediction")
    parser.add_argument("--show-count", type=int, default=20, help="how many of them")
    add_shared_flags(parser)
    return parser


@with_advice("test")
def main(argv: Sequence[str] | None = None, prog: str = "ovss test") -> int:
    """Print per-class IoU, all figures, and the protocol that they were made under.

    Returns:
        0; errors are raised, with what was wrong, where, and what to do.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(prog)
    arguments = parser.parse_args(words)
    from ovss.distributed import stop
    from ovss.io.files import ensure_writable
    from ovss.results.result_file import ensure_place, write_result
    from ovss.results.run import evaluate, use_device

    if not arguments.data and any(vars(arguments)[flag] for flag in FOLDER_FLAGS):
        parser.error("--split, --images, --masks, --classes and --mask-suffix go with --data DIR")
    if arguments.out:
        ensure_place(arguments.out)
    if arguments.show_dir:
        ensure_writable(arguments.show_dir)
    if arguments.device:
        use_device(arguments.device)
    config, protocol, data_name = configured(arguments)
    if arguments.show_dir:
        place = str(Path(arguments.show_dir).absolute())
        pictures = {"type": "PictureHook", "count": arguments.show_count, "folder": place}
        config.custom_hooks = [pictures]
    result = evaluate(
        config,
        config_name=Path(arguments.config).stem,
        protocol=protocol,
        weights=None if arguments.weights.lower() == "none" else arguments.weights,
        work_dir=arguments.work_dir or config.get("work_dir") or default_work_dir(arguments.config),
        launcher=arguments.launcher,
        resume=arguments.resume,
        command=[*prog.split(), *words],
        data_name=data_name,
    )
    stop()
    if result is not None:
        print(f"protocol: {protocol}")
        if arguments.out:
            write_result(arguments.out, result)
    return 0


def configured(arguments: argparse.Namespace) -> tuple[Config, SettledProtocol, str]:
    """Config under all flags: dataset, protocol, protocol options, config options.

    Returns:
        the final config, which holds the protocol's fields and no longer its name; the protocol;
        the dataset's name in tables, empty if only the config names it.

    Raises:
        KeyError: no data to test on.
        ProtocolError: an unknown protocol or field, or one that the method cannot run.
        FileNotFoundError, LayoutError, ValueError: as `use_dataset` and `describe_folder`.
    """
    from ovss.models.config_keys import check_keys
    from ovss.models.configs import load_config, use_dataset
    from ovss.protocols.settled import settle_protocol

    config, name = load_config(arguments.config, arguments.cfg_options), ""
    check_keys(config)
    if arguments.on:
        use_dataset(config, arguments.on)
        name = Path(arguments.on).stem
    if arguments.data:
        name = use_folder(config, arguments.data, **{k: vars(arguments)[k] for k in FOLDER_FLAGS})
    if "test_dataloader" not in config:
        raise KeyError(
            f"{arguments.config} names no data to test on: add --on DATASET or --data DIR"
        )
    overrides = arguments.cfg_options
    if overrides:  # on top of the dataset that was named meanwhile
        config.merge_from_dict(overrides)
    protocol = settle_protocol(config, arguments.protocol, arguments.protocol_options, overrides)
    return config, protocol, name


def use_folder(config: Config, folder: str, **where: Any) -> str:
    """Test on pictures of one's own, see `ovss.data.folder.describe_folder`.

    Args:
        config: is given a `test_dataloader` and a `test_evaluator`.
        folder: the data set.
        where: its split and what is not found by looking: `FOLDER_FLAGS`.

    Returns:
        what to call it: the folder's name, and the split's.
    """
    from ovss.data.folder import describe_folder

    described = describe_folder(folder, **where)
    config.test_dataloader = {
        "batch_size": 1,
        "num_workers": 2,
        "sampler": {"type": "DefaultSampler", "shuffle": False, "round_up": False},
        "dataset": described.config([{"type": "PackSample"}]),
    }
    config.test_evaluator = {"type": "OpenVocabIoU"}
    print(described)
    name = Path(folder).resolve().name
    return f"{name}/{described.split}" if described.split else name

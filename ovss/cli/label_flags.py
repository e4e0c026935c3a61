"""Flags of `ovss label`."""

from __future__ import annotations

import argparse

from ovss.api.formats import FORMATS

from .options import add_config_options, integer_in
from .segment_flags import add_batch, add_categories, add_model, add_tiles, format_names

__all__ = ["add_arguments"]

ENGINES = ("local", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss label`."""
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folders, glob patterns, image files, http(s) addresses, text files with one path or "
        "address a line, and parquet files; with --status, the folder of a run; with --export, the "
        "folder of a run and the folder to write into",
    )
    _add_actions(parser)
    _add_lists(parser)
    add_categories(parser, required=False)
    add_batch(add_model(parser))
    _add_images(parser)
    _add_work(parser)
    add_config_options(parser)


def _add_actions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("actions", "default: label the images")
    action = group.add_mutually_exclusive_group()
    action.add_argument("--status", action="store_true", help="say how far the run of a folder is")
    action.add_argument(
        "--estimate",
        action="store_true",
        help="label a sample and say what the run takes: hours on some machines, memory, bytes",
    )
    action.add_argument(
        "--export",
        type=format_names,
        metavar="FORMATS",
        help="convert the labels of a run; one file for all images: coco (polygons), coco-rle "
        f"(masks); files for each image: {', '.join(n for n in FORMATS if 'coco' not in n)}",
    )
    group.add_argument(
        "--sample",
        type=integer_in(1),
        default=32,
        metavar="N",
        help="images that --estimate measures (default: %(default)s)",
    )


def _add_lists(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("lists of images")
    group.add_argument(
        "--column",
        metavar="NAME",
        help="column of parquet files with paths, addresses or bytes (default: the only one)",
    )
    group.add_argument(
        "--key",
        metavar="NAME",
        help="column of parquet files that names the images (default: their path, address or row)",
    )
    group.add_argument(
        "--root",
        metavar="DIR",
        help="folder that paths in lists are relative to (default: the folder of the list)",
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    add_tiles(group)
    group.add_argument(
        "--readers",
        type=integer_in(1, 256),
        default=2,
        metavar="N",
        help="threads of a worker that read images; use more for addresses (default: %(default)s)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("work")
    group.add_argument(
        "--out",
        default="labels",
        metavar="DIR",
        help="folder of the run, shared by all machines (default: %(default)s)",
    )
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="local",
        help="where to compute: in processes of this machine, or in a Ray cluster "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="address of the cluster, such as auto (default: RAY_ADDRESS, or a cluster on this "
        "machine for the time of the run)",
    )
    group.add_argument(
        "--workers",
        type=integer_in(1, 4096),
        metavar="N",
        help="processes that hold a model (default: one for each GPU, or for up to 4 processors)",
    )
    group.add_argument(
        "--threads",
        type=integer_in(1, 4096),
        metavar="N",
        help="threads of the computation of a worker (default: those of an earlier run, or 1); "
        "another number changes the last bits of scores",
    )
    group.add_argument(
        "--shard-size",
        type=integer_in(1),
        metavar="N",
        help="images of a shard, the unit of work that a kill can lose (default: 256)",
    )
    group.add_argument(
        "--shards",
        type=_part,
        metavar="I/N",
        help="compute every N-th shard from shard I on, I in 0..N-1, for job arrays",
    )
    group.add_argument(
        "--retry-errors",
        action="store_true",
        help="compute the images again that have an error, such as a server that was down",
    )
    group.add_argument("--json", action="store_true", help="print the summary as a line of JSON")


def _part(text: str) -> tuple[int, int]:
    first, sign, count = text.partition("/")
    try:
        part = int(first), int(count)
    except ValueError:
        part = 0, 0
    if not sign or not 0 <= part[0] < part[1]:
        raise argparse.ArgumentTypeError(f"expected I/N with I in 0..N-1, got {text!r}")
    return part

"""Flags of the measurements of `ovss benchmark`."""

from __future__ import annotations

import argparse

from .options import (
    LARGEST_VOCABULARY,
    LONGEST_SIDE,
    add_config_options,
    add_precision_flag,
    integer_in,
)

__all__ = [
    "add_images_flags",
    "add_memory_flags",
    "add_selection_flags",
    "add_speed_flags",
    "add_table_flags",
]

_VOCABULARY = integer_in(1, LARGEST_VOCABULARY)


def add_table_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark table`."""
    add = parser.add_argument
    add(
        "methods",
        nargs="*",
        metavar="METHOD",
        help="methods to measure (default: all mini methods that are ready to use)",
    )
    add(
        "--on",
        nargs="+",
        metavar="DATASET",
        default=["mini_20", "mini_150", "mini_556"],
        help="datasets (default: mini_20 mini_150 mini_556)",
    )
    _add_scenes(parser)
    add(
        "--weights",
        nargs="+",
        metavar="METHOD=FILE",
        help="checkpoints (default: the config's own); METHOD=none for random weights",
    )
    add("--json", metavar="FILE", help="save rows as they are measured; skip rows already saved")
    add("--again", action="store_true", help="also measure rows already saved in --json")
    add("--markdown", metavar="FILE", help="write the table as Markdown")


def add_speed_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark speed`."""
    add = parser.add_argument
    add("methods", nargs="+", metavar="METHOD", help="methods to compare")
    add(
        "--categories",
        type=_VOCABULARY,
        nargs="+",
        default=[150],
        metavar="N",
        help="sizes of random vocabularies (default: 150)",
    )
    add(
        "--kept",
        nargs="+",
        metavar="N",
        help="number of categories that a view keeps, after running the method's own selector; "
        "METHOD=N for one method, N for all methods whose selector depends on the image",
    )
    _add_size(parser)
    _add_step(parser)
    add(
        "--scenes",
        type=integer_in(1),
        metavar="N",
        help="use trained weights and N images of each dataset instead of random ones",
    )
    add(
        "--on",
        "--vocabulary",
        dest="datasets",
        nargs="+",
        default=["mini_150"],
        metavar="DATASET",
        help="datasets for --scenes (default: mini_150)",
    )
    add(
        "--weights",
        nargs="+",
        metavar="METHOD=FILE",
        help="checkpoints for --scenes (default: the config's own)",
    )
    add(
        "--instead",
        nargs="+",
        metavar="[METHOD=]FILE",
        help="also measure the function predict(model, image, text) of a Python file, after "
        "comparing its label map with the method's own",
    )
    add(
        "--against",
        metavar="CHECKOUT",
        help="also measure the methods with another checkout of ovss, in a process of its own",
    )
    add(
        "--rounds",
        type=integer_in(1),
        default=3,
        metavar="N",
        help="rounds that count (default: 3)",
    )
    add(
        "--warm-up",
        type=integer_in(0),
        default=1,
        metavar="N",
        help="rounds before them (default: 1)",
    )
    add_precision_flag(parser)
    add("--json", metavar="FILE", help="write every measured time as JSON")


def add_memory_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark memory`."""
    add = parser.add_argument
    add("config", metavar="METHOD", help="config name or path: cat_seg_vit-b16")
    add(
        "--categories",
        type=_VOCABULARY,
        default=150,
        metavar="N",
        help="vocabulary size (default: 150)",
    )
    add(
        "--kept",
        type=_VOCABULARY,
        metavar="N",
        help="number of categories that a view keeps, after running the method's own selector",
    )
    _add_size(parser)
    _add_step(parser)
    add(
        "--instead",
        metavar="FILE",
        help="Python file with a function predict(model, image, text) to measure instead of the "
        "model's own inference",
    )
    add("--json", metavar="FILE", help="write bytes and seconds as JSON")
    add_config_options(parser)


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark selection`."""
    add = parser.add_argument
    add("config", metavar="METHOD", help="config name or path: dcp_clip_mini")
    add(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint, or none for random weights (default: the config's own)",
    )
    add(
        "--thresholds",
        type=float,
        nargs="+",
        metavar="X",
        help="thresholds of the selector (default: the config's own)",
    )
    add("--on", nargs="+", metavar="DATASET", help="datasets (default: the config's own)")
    _add_scenes(parser)
    add("--json", metavar="FILE", help="write every measurement as JSON")
    add_config_options(parser)


def add_images_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark images`."""
    add = parser.add_argument
    add("methods", nargs="+", metavar="METHOD", help="config, or METHOD=FILE for other weights")
    add("--on", metavar="DATASET", help="dataset (default: that of the first method)")
    scenes = list(range(6))
    add(
        "--scenes",
        type=integer_in(0),
        nargs="+",
        default=scenes,
        metavar="I",
        help="scenes to draw (default: 0 to 5)",
    )
    add(
        "--out",
        default="outputs/images.png",
        metavar="FILE",
        help="PNG file to write (default: %(default)s)",
    )


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        type=integer_in(1, LONGEST_SIDE),
        nargs=2,
        metavar=("H", "W"),
        help="image size (default: 640 640; with --step, the method's training size)",
    )


def _add_step(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--step", action="store_true", help="measure a training step (forward and backward)")
    add("--batch", type=integer_in(1), default=1, metavar="N", help="images per step (default: 1)")
    add(
        "--given-text",
        action="store_true",
        help="pass text features into the step instead of training the text tower",
    )


def _add_scenes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenes",
        type=integer_in(1),
        default=200,
        metavar="N",
        help="images per dataset (default: 200)",
    )

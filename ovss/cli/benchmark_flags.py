"""Flags of the measurements of `ovss benchmark`."""

from __future__ import annotations

import argparse

from .options import add_config_options

__all__ = [
    "add_images_flags",
    "add_memory_flags",
    "add_selection_flags",
    "add_speed_flags",
    "add_table_flags",
]


def add_table_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("methods", nargs="*", metavar="METHOD", help="default: mini methods ready to use")
    add(
        "--on",
        nargs="+",
        metavar="DATASET",
        default=["mini_20", "mini_150", "mini_556"],
        help="datasets (default: mini_20 mini_150 mini_556)",
    )
    add("--scenes", type=int, default=200, metavar="N", help="images of each (default: 200)")
    add(
        "--weights",
        nargs="+",
        metavar="METHOD=FILE",
        help="default: the config's own; METHOD=none for random weights",
    )
    add("--json", metavar="FILE", help="keep every row as it is measured; skip rows it already has")
    add("--again", action="store_true", help="measure the rows that --json already has too")
    add("--markdown", metavar="FILE", help="write the table as Markdown")


def add_speed_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("methods", nargs="+", metavar="METHOD")
    add(
        "--categories",
        type=int,
        nargs="+",
        default=[150],
        metavar="N",
        help="sizes of random vocabularies (default: 150)",
    )
    add(
        "--kept",
        nargs="+",
        metavar="N",
        help="categories that a view keeps after the method's own selector has run: METHOD=N for "
        "one method, N for every method whose selector looks at the image",
    )
    _add_size(parser, "--picture")
    _add_step(parser)
    add("--scenes", type=int, metavar="N", help="images of a dataset, with trained weights")
    add(
        *("--on", "--vocabulary"),
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
        help="with --scenes; default: the config's own",
    )
    add("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    add("--warm-up", type=int, default=1, metavar="N", help="uncounted rounds (default: 1)")
    add("--json", metavar="FILE", help="write every measured time")


def add_memory_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("config", metavar="METHOD")
    add("--categories", type=int, default=150, metavar="N", help="default: %(default)s")
    add(
        "--kept",
        type=int,
        metavar="N",
        help="categories that a view keeps after the method's own selector has run",
    )
    _add_size(parser)
    _add_step(parser)
    add(
        "--instead",
        metavar="FILE",
        help="Python file whose predict(model, image, text) is measured in place of the model's "
        "own inference",
    )
    add("--json", metavar="FILE", help="write bytes and seconds")
    add_config_options(parser)


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("config", metavar="METHOD")
    add("--weights", default="default", help="checkpoint, or none (default: the config's own)")
    add("--thresholds", type=float, nargs="+", metavar="X", help="default: the config's own")
    add("--on", nargs="+", metavar="DATASET", help="default: the config's own")
    add("--scenes", type=int, default=200, metavar="N", help="images of each (default: 200)")
    add("--json", metavar="FILE", help="write every point")
    add_config_options(parser)


def add_images_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("methods", nargs="+", metavar="METHOD", help="config; METHOD=FILE for other weights")
    add("--on", metavar="DATASET", help="default: that of the first method")
    scenes = list(range(6))
    add("--scenes", type=int, nargs="+", default=scenes, metavar="I", help="default: 0 to 5")
    add("--out", default="outputs/images.png", metavar="FILE", help="default: %(default)s")


def _add_size(parser: argparse.ArgumentParser, *aliases: str) -> None:
    parser.add_argument(
        *("--size", *aliases),
        dest="size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="size of the image (default: 640 640; with --step, that of training)",
    )


def _add_step(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--step", action="store_true", help="a training step: forward and backward, no optimiser")
    add("--batch", type=int, default=1, metavar="N", help="images of a step (default: 1)")
    add("--given-text", action="store_true", help="a step without a text tower that trains")

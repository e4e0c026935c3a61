"""Flags and helpers that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ovss.io.excerpts import excerpt

from .values import parse_value

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
"""Programs that start the ranks of a run; `ovss.distributed.start` knows their variables."""

PRECISION_NAMES = ("float32", "bfloat16", "float16", "tf32")
"""Keys of `ovss.layers.precision.PRECISIONS`, which is slow to import."""

LONGEST_SIDE = 1 << 16
"""Largest height or width of an image that a flag accepts."""

LARGEST_VOCABULARY = 1_000_000
"""Largest number of numbered names that a flag accepts."""

MOST = 1_000_000_000
"""Largest number of images, rounds or the like that a flag accepts."""


class KeyValues(argparse.Action):
    """Collects ``KEY=VALUE ...`` in a dictionary; a repeated flag adds to it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            pairs = parse_overrides(values)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **pairs})


def add_image_size(parser: argparse.ArgumentParser) -> None:
    """Adds the flag ``--size H W`` for random images, 640 x 640 by default."""
    parser.add_argument(
        "--size",
        type=integer_in(1, LONGEST_SIDE),
        nargs=2,
        default=(640, 640),
        metavar=("H", "W"),
        help="image size (default: 640 640)",
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds the flag ``--cfg-options KEY=VALUE ...``, which works as in mmengine's tools."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="override config keys, e.g. model.selector.k=64 'model.inference.size=(512, 640)'",
    )


def add_precision_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the flag ``--precision``, the number type in which images are segmented."""
    parser.add_argument(
        "--precision",
        choices=PRECISION_NAMES,
        default="float32",
        help="number type of the computation: bfloat16 for recent processors and GPUs, float16 and "
        "tf32 for GPUs; changes results by rounding (default: %(default)s)",
    )


def add_launcher_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of distributed runs, named as in mmseg."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        default="none",
        help="launcher that starts the ranks: torchrun (pytorch), srun (slurm) or mpirun (mpi); "
        "default: none, a single process",
    )
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help="set by some launchers; ignored"
    )


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Parses ``KEY=VALUE`` pairs: ``["model.selector.k=64"]`` -> ``{"model.selector.k": 64}``.

    Raises:
        ValueError: a pair has no ``=``, a key is empty, or a value cannot be read.
    """
    overrides = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not all(key.strip().split(".")):
            raise ValueError(f"expected KEY=VALUE pairs, got {excerpt(pair)}")
        try:
            overrides[key.strip()] = parse_value(value)
        except ValueError as error:
            raise ValueError(f"cannot read the value of {key}: {error}") from None
    return overrides


def integer_in(low: int, high: int = MOST) -> Callable[[str], int]:
    """Type of a flag for integers of a closed range.

    Args:
        low: smallest integer.
        high: largest integer.

    >>> integer_in(1, 8)("3")
    3
    """

    def integer(text: str) -> int:
        digits = text.removeprefix("-")
        is_integer = digits.isascii() and digits.isdecimal() and len(digits) < 20
        if not is_integer or not low <= int(text) <= high:
            limits = f"of at least {low}" if high == MOST else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"expected an integer {limits}, got {excerpt(text)}")
        return int(text)

    return integer


def is_worker_lost(error: BaseException) -> bool:
    """True if a process that loads data for torch was killed or crashed."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error means that the machine or the GPU ran out of memory."""
    # torch raises plain RuntimeErrors for some of these, so their messages are compared
    messages = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(message in str(error) for message in messages)

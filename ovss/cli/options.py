"""Flags and helpers that several subcommands share."""

from __future__ import annotations

import argparse
from typing import Any

from .values import parse_value


class KeyValues(argparse.Action):
    """``KEY=VALUE ...`` -> a dictionary, see `parse_overrides`; a flag given again adds to it."""

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


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """The flag ``--cfg-options KEY=VALUE ...``, as mmengine's tools have it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=KeyValues,
        default={},
        metavar="KEY=VALUE",
        help="change config keys: model.selector.k=64 'model.inference.size=(512, 640)'",
    )


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["model.selector.k=64"]`` -> ``{"model.selector.k": 64}``.

    Raises:
        ValueError: a pair without ``=``, an empty key, or a value that cannot be read.
    """
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not all(key.strip().split(".")):
            raise ValueError(f"takes KEY=VALUE pairs, got {pair!r}")
        try:
            found[key.strip()] = parse_value(value)
        except ValueError as error:
            raise ValueError(f"cannot read the value of {key}: {error}") from None
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the GPU had too little memory, however torch puts it."""
    told = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)

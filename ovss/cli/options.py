"""What several sub-commands share."""

from __future__ import annotations

import argparse
from typing import Any


class KeyValues(argparse.Action):
    """``KEY=VALUE ...`` -> a dictionary, by mmengine's rules; a flag given again adds to it.

    mmengine's own `DictAction` ends in a traceback where a pair has no ``=``.
    """

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
    """``["model.selector.k=64"]`` -> ``{"model.selector.k": 64}``, by mmengine's rules.

    Raises:
        ValueError: a pair without ``=``, or a value that cannot be read.
    """
    wrong = [pair for pair in pairs if not pair.partition("=")[1] or pair.startswith("=")]
    if wrong:
        raise ValueError(f"takes KEY=VALUE pairs, got {wrong[0]!r}")
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", nargs="+", action=DictAction, default={})
    try:
        return dict(parser.parse_args(["--pairs", *pairs] if pairs else []).pairs)
    except AssertionError as error:
        raise ValueError(str(error)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the GPU had too little memory, however torch puts it."""
    told = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)

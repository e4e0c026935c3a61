"""What several sub-commands share."""

from __future__ import annotations

import argparse
from typing import Any


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """The flag ``--cfg-options KEY=VALUE ...``, as mmengine's tools have it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change config keys: model.selector.k=64 'model.inference.size=(512, 640)'",
    )


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["model.selector.k=64"]`` -> ``{"model.selector.k": 64}``, by mmengine's rules.

    Raises:
        ValueError: a pair without ``=``.
    """
    wrong = [pair for pair in pairs if not pair.partition("=")[1] or pair.startswith("=")]
    if wrong:
        raise ValueError(f"--cfg-options takes KEY=VALUE pairs, got {wrong[0]!r}")
    if not pairs:
        return {}
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", nargs="+", action=DictAction)
    return dict(parser.parse_args(["--pairs", *pairs]).pairs)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the GPU had too little memory, however torch puts it."""
    told = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)

"""Entry point of ``python -m ovss``, which is the same command as ``ovss``."""

from __future__ import annotations

from typing import NoReturn

from .cli import main
from .cli.process import run_as_process


def run() -> NoReturn:
    """Runs the command line and ends this process."""
    run_as_process(main)


if __name__ == "__main__":
    run()

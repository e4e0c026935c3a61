"""Which sub-command, and what becomes of its errors. Imports nothing heavy."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

from ovss import __version__

from .options import is_out_of_memory

COMMANDS = {
    "segment": "label every pixel of pictures with the words you give",
    "train": "train a method from its config",
    "test": "evaluate a method on a data set",
    "config": "print a config with its bases and overrides, and check that it builds",
    "reproduce": "run a recorded evaluation again and compare every figure",
    "table": "results side by side, published figures beside them",
    "prepare": "make a benchmark ready from its official files",
    "list": "show components, methods, vocabularies, templates and plugins",
    "doctor": "check this installation",
    "new-plugin": "write a method of your own to begin with, tests included",
    "demo": "segment and evaluate a few scenes with the model that comes along",
}
DELEGATED = ("train", "test")
"""Commands with a parser of their own, shared with the scripts in tools/."""

OURS = (ValueError, TypeError, LookupError, OSError, ImportError)
"""What our code raises on wrong input: its message says what to do, a traceback would not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0: all went well; 1: an error, told on one line; 2: wrong usage; 130: interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv or bool(os.environ.get("OVSS_DEBUG"))
    argv = [word for word in argv if word != "--debug"]
    # mmcv without its compiled operators warns at import of some that nothing here uses
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformable")
    try:
        return _dispatch(argv)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        return 1


def describe(error: BaseException) -> str:
    """An exception as one line; unexpected ones say how to see more."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError) and error.args:  # str() of it would be quoted
        text = " ".join(str(error.args[0]).split())
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    if text and (isinstance(error, OURS) or _raised_here(error)):
        return text
    if is_out_of_memory(error):
        return f"out of memory: try a smaller --batch or smaller pictures ({text})"
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _raised_here(error: BaseException) -> bool:
    """Whether our own code raised it, to tell somebody something."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = place.tb_frame.f_globals.get("__name__", "") if place else ""
    return isinstance(error, RuntimeError) and module.partition(".")[0] in ("ovss", "ovss_plugins")


def _dispatch(argv: list[str]) -> int:
    if argv and argv[0] in DELEGATED:
        return int(_module(argv[0]).main(argv[1:]) or 0)
    name = next((word for word in argv if word in COMMANDS and word not in DELEGATED), None)
    module = _module(name) if name else None
    parser = build_parser(name, module)
    args = parser.parse_args(argv)
    if module is None or args.command is None:
        parser.print_help()
        return 2 if argv else 0
    return int(module.run(args))


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"ovss.cli.{command.replace('-', '_')}")


def build_parser(name: str | None, module: object = None) -> argparse.ArgumentParser:
    """The parser of the whole command; only the sub-command `name` gets its arguments."""
    parser = argparse.ArgumentParser(
        prog="ovss",
        description="Open-vocabulary semantic segmentation.",
        epilog="`ovss COMMAND --help` tells more; --debug, anywhere, shows tracebacks.",
    )
    parser.add_argument("--version", action="version", version=f"ovss {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, summary in COMMANDS.items():
        own = commands.add_parser(
            command,
            help=summary,
            description=(module.__doc__ if command == name and module else summary),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if command == name and module is not None:
            module.add_arguments(own)  # type: ignore[attr-defined]
    return parser

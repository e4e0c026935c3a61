"""Runs a sub-command and prints its errors on one line. Imports nothing heavy."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from ovss import __version__
from ovss.io.excerpts import one_line

from .advice import with_advice
from .errors import describe
from .options import KeyValues
from .parser import HelpfulParser

if TYPE_CHECKING:
    from .plugin_commands import PluginCommand

COMMANDS = {
    "segment": "label every pixel of images with the categories you name",
    "label": "label many images, on one machine or many, into files that a kill cannot harm",
    "train": "train a method from its config",
    "test": "evaluate a method on a dataset",
    "reproduce": "run a recorded evaluation again and compare every metric",
    "table": "compare results in one table, published numbers included",
    "prepare": "prepare a benchmark dataset from its official files",
    "config": "print a config with its bases and overrides, and check that it builds",
    "convert": "convert a checkpoint published by a method's authors",
    "export": "write a model as ONNX files, which run without torch",
    "publish": "halve a trained weights file for sharing",
    "save": "save a method as a folder that needs no other file, for the Hugging Face hub too",
    "benchmark": "measure accuracy, time and memory of methods",
    "complexity": "count parameters and FLOPs of a method",
    "kernels": "show which kernels were chosen on this machine, and why",
    "list": "show components, methods, vocabularies, templates and plugins",
    "doctor": "check this installation",
    "new-plugin": "write a new plugin that trains, segments and passes its tests",
    "demo": "segment and evaluate a few scenes with the bundled model",
}
DELEGATED = ("train", "test")
"""Commands with their own parsers, because launchers also start them as scripts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments after `ovss`; None for those of the process.

    Returns:
        0 on success, 1 after an error, 2 for wrong usage, 130 if interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    make_printing_safe("--json" in argv)
    debug = "--debug" in argv or bool(os.environ.get("OVSS_DEBUG"))
    if "--no-tune" in argv:
        os.environ["OVSS_TUNE"] = "off"  # commands that this one starts follow it, too
    argv = [argument for argument in argv if argument not in ("--debug", "--no-tune")]
    format_before = warnings.formatwarning
    if not debug:
        warnings.formatwarning = _warning_line  # type: ignore[assignment]
    # mmcv warns at import about compiled operators that it lacks and that nothing here uses
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformable")
    try:
        return _dispatch(argv, debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        print(f"error: {describe(error)}", file=sys.stderr)
        return 1
    finally:
        warnings.formatwarning = format_before


def make_printing_safe(is_json: bool) -> None:
    """Makes characters that the output's encoding lacks appear as escapes instead of errors.

    Args:
        is_json: True if the command prints JSON, which is UTF-8 everywhere.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_utf8 = is_json and stream is sys.stdout
            stream.reconfigure(encoding="utf-8" if is_utf8 else None, errors="backslashreplace")


def _warning_line(message: Warning | str, *_: object) -> str:
    """Line for a warning of Python, without the line of code that raised it."""
    return f"warning: {one_line(str(message))}\n"


def _dispatch(argv: list[str], debug: bool) -> int:
    if argv and argv[0] in DELEGATED:
        return int(_module(argv[0]).main(argv[1:]) or 0)
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    extra: Mapping[str, PluginCommand] = {}
    if name not in COMMANDS:  # plugins are looked up only for their commands and for --help
        from .plugin_commands import find_commands

        extra = find_commands(COMMANDS)
    module = None
    if name is not None and name in extra:
        module = extra[name].load()
    elif name in COMMANDS and name not in DELEGATED:
        module = _module(name)
    summaries = {command: plugin.summary for command, plugin in extra.items()}
    parser = build_parser(name, module, {**COMMANDS, **summaries})
    args = parser.parse_args(argv, argparse.Namespace(debug=debug))
    if module is None or args.command is None:
        parser.print_help()
        return 2 if argv else 0
    return int(with_advice(args.command)(module.run)(args))


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"ovss.cli.{command.replace('-', '_')}")


def build_parser(
    name: str | None, module: ModuleType | None = None, summaries: Mapping[str, str] = COMMANDS
) -> argparse.ArgumentParser:
    """Builds the parser of `ovss`, with arguments for the sub-command `name` only.

    Args:
        name: name of the sub-command to run; None if the command line has none.
        module: module of that sub-command.
        summaries: sub-command -> line of the help.
    """
    parser = HelpfulParser(
        prog="ovss",
        description="Open-vocabulary semantic segmentation.",
        epilog="`ovss COMMAND --help` shows the flags of a command; --debug shows tracebacks; "
        "--no-tune uses fixed kernels instead of the fastest measured ones.",
    )
    parser.add_argument("--version", action="version", version=f"ovss {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command, summary in summaries.items():
        subparser = commands.add_parser(
            command,
            help=summary.replace("%", "%%"),
            description=(module.__doc__ if command == name and module else summary),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.register("action", "key_values", KeyValues)  # plugins use it by this name
        if command == name and module is not None:
            module.add_arguments(subparser)
    return parser

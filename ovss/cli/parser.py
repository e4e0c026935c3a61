"""Argument parser that explains unknown flags and stray arguments."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from ovss.io.excerpts import one_line

_OUTPUT = ("out-dir", "output", "output-dir", "outdir", "save-dir", "save", "dest", "out")
OTHER_NAMES = {
    "--out": _OUTPUT,
    "--opacity": ("alpha", "transparency", "blend"),
    "--words": ("text", "texts", "prompt", "prompts", "classes", "class", "categories", "labels"),
    "--vocabulary": ("vocab", "dataset"),
    "--model": ("config", "cfg", "method"),
    "--weights": ("checkpoint", "ckpt", "pretrained-weights"),
    "--threshold": ("conf", "confidence", "score-thr", "min-score"),
    "--batch": ("batch-size", "views"),
    "--device": ("gpu", "cuda", "cpu"),
    "--work-dir": _OUTPUT,
    "--cfg-options": ("options", "override", "overrides", "set", "opts"),
    "--show-dir": ("show", "vis-dir", "visualize"),
    "--format": ("formats", "export", "save-format"),
}
"""Flags of other tools that mean one of ours."""

_NEVER_EMPTY = ("CHECKPOINT", "FILE", "DIR", "PATH", "NAME", "DATASET", "METHOD")
"""Kinds of values of which an empty one comes from an unset variable of a shell."""


class HelpfulParser(argparse.ArgumentParser):
    """ArgumentParser that suggests the closest flag, also for its subcommands."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses arguments; anything unknown ends the program with an explanation."""
        parsed, extra = self.parse_known_args(args, namespace)
        extra = [argument for argument in extra if argument != "--"]  # it ends the flags
        if extra:
            self._chosen(parsed).reject(extra, parsed)
        return parsed

    def error(self, message: str) -> NoReturn:
        """Prints the usage and a message on one line, and ends the program."""
        super().error(one_line(message))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Values of an argument; an empty path or name is refused, and not taken for no flag."""
        named = action.option_strings and action.metavar in _NEVER_EMPTY
        if named and any(not text.strip() for text in arg_strings):
            raise argparse.ArgumentError(action, f"expected {action.metavar}, got empty text")
        return super()._get_values(action, arg_strings)  # type: ignore[misc]

    def reject(self, extra: Sequence[str], parsed: argparse.Namespace) -> NoReturn:
        """Ends the program because of arguments that no flag takes."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        unknown = next((argument for argument in extra if argument.startswith("-")), None)
        if unknown is None:
            self.error(f"unexpected argument {extra[0]!r}. {_stray(extra, parsed)}".strip())
        flag = unknown.partition("=")[0]
        close = closest_flag(flag, flags)
        self.error(f"unknown flag {flag}." + (f" Did you mean {close}?" if close else ""))

    def _chosen(self, parsed: argparse.Namespace) -> HelpfulParser:
        """Parser of the subcommand that was called; this parser if there is none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = action.choices.get(str(getattr(parsed, action.dest, None)))
                return self if chosen is None else chosen._chosen(parsed)
        return self


def closest_flag(flag: str, known: Sequence[str]) -> str | None:
    """Flag that a user most probably meant; None if nothing is close.

    >>> closest_flag("--out-dir", ["--out", "--words"]), closest_flag("--wrods", ["--words"])
    ('--out', '--words')
    """
    bare = flag.lstrip("-").replace("_", "-")
    for ours, others in OTHER_NAMES.items():
        if ours in known and bare in others:
            return ours
    close = difflib.get_close_matches(f"--{bare}", known, n=1, cutoff=0.7)
    return close[0] if close else None


def _stray(extra: Sequence[str], parsed: argparse.Namespace) -> str:
    words = getattr(parsed, "words", None)
    if words is None:
        return ""
    listed = ", ".join([words.rstrip(", "), *(text.strip(", ") for text in extra)])
    return f'Separate categories with commas in one argument: --words "{listed}"'

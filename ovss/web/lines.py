"""Command lines and Python lines that give the same result as the page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ovss.io.names import stem_of

from .form import Form
from .methods import MethodChoice

__all__ = ["command_lines", "python_lines"]

FORMATS = ("labels", "coco", "labelme")
"""Formats of the page's downloads; keys of `ovss.api.formats.FORMATS`."""


def command_lines(form: Form, choices: Sequence[MethodChoice], image_name: str) -> str:
    """One `ovss segment` command per method, for a POSIX shell.

    Args:
        form: checked fields of the page.
        choices: the methods of the form.
        image_name: file name of the image.
    """
    return "\n".join(shlex.join(_command(form, choice, image_name)) for choice in choices)


def _command(form: Form, choice: MethodChoice, image_name: str) -> list[str]:
    words = ["ovss", "segment", _path(image_name), *_flag("--words", form.words)]
    if form.background:
        words += _flag("--background", form.background)
    if form.threshold:
        words += ["--threshold", repr(form.threshold)]
    words += _flag("--model", choice.name)
    for name, file in _files(choice).items():
        words += _flag(f"--{name}", file)
    return [*words, "--format", ",".join(FORMATS), "--out", _folder(choice)]


def _flag(name: str, value: str) -> list[str]:
    """Flag and value; a value that looks like a flag is attached to it."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def python_lines(form: Form, choices: Sequence[MethodChoice], image_name: str) -> str:
    """Python script for all methods; the arguments are those of `command_lines`."""
    options = [f"background={form.background!r}"] * bool(form.background)
    options += [f"threshold={form.threshold!r}"] * bool(form.threshold)
    arguments = ", ".join([repr(_path(image_name)), "words", *options])
    lines = ["from ovss import Inferencer", "", f"words = {form.words!r}"]
    for choice in choices:
        files = "".join(f", {name}={file!r}" for name, file in _files(choice).items())
        lines += [
            "",
            f"run = Inferencer({choice.name!r}{files})",
            f"result = run({arguments})",
            f"result.save({_folder(choice)!r}, formats={FORMATS!r})",
        ]
    return "\n".join([*lines, ""])


def _files(choice: MethodChoice) -> dict[str, str]:
    """Files of weights that the user named, by the argument that reads them."""
    files = {"weights": choice.weights, "pretrained": choice.pretrained}
    return {name: file for name, file in files.items() if file is not None}


def _path(image_name: str) -> str:
    """Path of the image in the working directory, which is not read as a flag or an address."""
    return f"./{image_name}" if image_name.startswith("-") or "://" in image_name else image_name


def _folder(choice: MethodChoice) -> str:
    return f"outputs/{stem_of(choice.name)}"

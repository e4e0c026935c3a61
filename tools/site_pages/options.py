"""Tables of the options of components, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from typing import Any

from .configs import summary

_ENTRY = re.compile(r"^\*{0,2}(\w+(?:, \w+)*): ?(.*)$")
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example|Examples|Note|Notes):$")


def argument_texts(value: Any) -> dict[str, str]:
    """Name -> text of the entries in the section `Args:` of a docstring, each as one line.

    An entry may describe several arguments, whose names are separated by commas.
    """
    texts: dict[str, list[str]] = {}
    inside, current = False, ""
    for line in (inspect.getdoc(value) or "").splitlines():
        if _SECTION.match(line):
            inside = line == "Args:"
            continue
        if not inside:
            continue
        entry = _ENTRY.match(line[4:]) if line.startswith("    ") and line[4:5] != " " else None
        if entry:
            current = entry[1]
            texts[current] = [entry[2]]
        elif current and line.strip():
            texts[current].append(line.strip())
    return {name: " ".join(lines) for names, lines in texts.items() for name in names.split(", ")}


def option_table(cls: type) -> str:
    """Table of the arguments of a component, or a sentence where it has none.

    Raises:
        ValueError: an argument that the docstring does not describe.
    """
    texts = argument_texts(cls)
    signature = inspect.signature(cls.__init__)
    rows = []
    for name, parameter in list(signature.parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        value = "required" if default is parameter.empty else f"`{_short(default)}`"
        rows.append((f"`{name}`", f"`{_kind(parameter.annotation)}`", value, texts.get(name, "")))
    if not rows:
        return "No options.\n"
    lines = ["| option | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def component_section(cls: type, kind: str, level: int = 3) -> str:
    """Heading, first line of the docstring and options of a component."""
    return f"{'#' * level} {cls.__name__}\n\n*{kind}* · {summary(cls)}\n\n{option_table(cls)}"


def _escaped(cell: str) -> str:
    """Cell whose bars do not end it; bars inside code need no escape on the site."""
    return "`".join(
        part if number % 2 else part.replace("|", "\\|")
        for number, part in enumerate(cell.split("`"))
    )


def _short(value: Any) -> str:
    text = value.__name__ if inspect.isclass(value) or inspect.isfunction(value) else repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _kind(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(typing|collections\.abc)\.", "", text)

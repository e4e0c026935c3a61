"""List components, methods, datasets, protocols, vocabularies, prompt templates and plugins.

ovss list components
ovss list encoders                            components of one kind
ovss list protocols --on ade20k_150           show the full hash on a dataset
ovss list --compatible-with UpsampleDecoder   components that fit, and why others do not
ovss list --compatible-with cat_seg_mini      components that could replace its own
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ovss.io.json_text import json_text

from .list_tables import TABLES, add_titles, components, protocols
from .progress import print_note

if TYPE_CHECKING:
    from ovss.models.compatible import Answer, Verdict

SECTIONS = (
    "components",
    "methods",
    "datasets",
    "protocols",
    "vocabularies",
    "templates",
    "plugins",
)
KINDS = {
    "encoders": "encoder",
    "selectors": "selector",
    "heads": "head",
    "decoders": "decoder",
    "post-processors": "post-processor",
    "losses": "loss",
    "proposers": "proposer",
    "embedders": "region embedder",
}
"""Sections with the components of one kind, and the name of the kind."""
METHOD_TITLES = {
    "name": "config",
    "method": "published as",
    "parity": "parity",
    "weights": "weights",
    "license": "license of its code",
}
"""Column titles of the methods; paths are in the JSON."""
OTHER_NAMES = {
    "models": "methods",
    "configs": "methods",
    "prompts": "templates",
    "vocabs": "vocabularies",
    "postprocessors": "post-processors",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss list`."""
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"{', '.join(SECTIONS)} (default: all of these); {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--compatible-with",
        metavar="NAME",
        help="list components whose declared dimensions fit this component, config or config file",
    )
    parser.add_argument(
        "--on",
        metavar="DATASET",
        help="protocols only: show the full hash on this dataset (ade20k_150, or a config file)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the requested sections.

    Raises:
        ValueError: a section is unknown, or flags contradict each other.
    """
    if args.compatible_with is not None:
        return _compatible(args)
    requested = [_section(name) for name in args.sections] or SECTIONS
    if args.on is not None and "protocols" not in requested:
        raise ValueError(
            "--on requires the section protocols. Use `ovss list protocols --on DATASET`"
        )
    collect = {**TABLES, "protocols": lambda: protocols(args.on)}
    collect.update((section, partial(components, kind)) for section, kind in KINDS.items())
    tables = {name: collect[name]() for name in collect if name in requested}
    if args.json:
        print(json_text(tables), end="")
        return 0
    for section, rows in tables.items():
        print(f"{section} ({len(rows)})")
        if section == "protocols":
            rows = [add_titles(rows), *rows]
        elif section == "methods":
            rows = [METHOD_TITLES, *({key: row[key] for key in METHOD_TITLES} for row in rows)]
        print("\n".join(line.rstrip() for line in columns(rows)), end="\n\n")
    return 0


def _section(name: str) -> str:
    """Section that the user means, in singular or plural and by usual other names.

    Raises:
        ValueError: an unknown section.
    """
    known = (*SECTIONS, *KINDS)
    plural = name.lower().replace("_", "-")
    for candidate in (plural, f"{plural}s", f"{plural}es", plural.removesuffix("y") + "ies"):
        candidate = OTHER_NAMES.get(candidate, candidate)
        if candidate in known:
            return candidate
    close = difflib.get_close_matches(plural, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise ValueError(f"Unknown section {name!r}. {hint}Choose from {', '.join(known)}")


def _compatible(args: argparse.Namespace) -> int:
    from ovss.models.compatible import compatible_with

    if args.sections:
        raise ValueError("--compatible-with cannot be combined with sections. Leave them out")
    answers = compatible_with(args.compatible_with, print_note)
    if args.json:
        print(json_text([answer.as_dict() for answer in answers]), end="")
        return 0
    print("\n\n".join("\n".join(_lines(answer)) for answer in answers))
    return 0


def _lines(answer: Answer) -> Iterator[str]:
    """Lines of an answer, one per class: configs where it fits, or why the closest does not."""
    yield answer.subject
    by_class: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in answer.verdicts:
        by_class.setdefault((verdict.kind, verdict.name), []).append(verdict)
    for (kind, name), verdicts in by_class.items():
        best = min(verdicts, key=lambda verdict: len(verdict.problems))
        others = sum(len(verdict.configs) for verdict in verdicts) - len(best.configs)
        where = ", ".join(best.configs[:3])
        if len(best.configs) > 3:
            where += f" and {len(best.configs) - 3} more"
        if best.problems:
            text = f"no    {name:23}  {'; '.join(best.problems)} (in {where})"
        else:
            text = f"fits  {name:23}  as in {where}"
            text += f"; not as in {others} others" if others else ""
        yield f"  {kind.replace('_', '-'):14}  {text}"


def columns(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as aligned lines; the last column is cut at 72 characters."""
    if not rows:
        return ["  none"]
    *keys, last = rows[0]
    widths = {key: max(len(str(row[key])) for row in rows) for key in keys}
    return [
        "  " + "  ".join([f"{row[key]!s:{widths[key]}}" for key in keys] + [str(row[last])[:72]])
        for row in rows
    ]

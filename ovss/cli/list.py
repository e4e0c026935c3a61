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
import inspect
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

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
}
"""Sections with the components of one kind, and the name of the kind."""
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
    collect = {**COLLECT, "protocols": lambda: protocols(args.on)}
    collect.update((section, partial(components, kind)) for section, kind in KINDS.items())
    tables = {name: collect[name]() for name in collect if name in requested}
    if args.json:
        print(json.dumps(tables, indent=2, ensure_ascii=False))
        return 0
    for section, rows in tables.items():
        print(f"{section} ({len(rows)})")
        if section == "protocols":
            rows = [_with_titles(rows), *rows]
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
    answers = compatible_with(args.compatible_with)
    if args.json:
        print(json.dumps([answer.as_dict() for answer in answers], indent=2, ensure_ascii=False))
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


def components(kind: str | None = None) -> list[dict[str, Any]]:
    """All registered classes, including those of installed plugins.

    Args:
        kind: kind of component, a value of `KINDS`; None: all kinds.
    """
    from ovss.models.plugins import load_available_plugins
    from ovss.registry import REGISTRIES, register_all

    register_all()
    load_available_plugins()
    rows = []
    for registry in (r for r in REGISTRIES if kind in (None, r.name)):
        for name in registry.names():
            cls = registry.find(name)
            rows.append(
                {
                    "kind": registry.name,
                    "name": name,
                    "module": cls.__module__,
                    "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
                }
            )
    return rows


def methods() -> list[dict[str, Any]]:
    """All configs, with the path of their weights if the file exists."""
    from ovss.models.configs import list_configs, read_config
    from ovss.models.weights import find_weights

    rows = []
    for name, path in list_configs().items():
        weights = read_config(path).get("weights")
        state = ""
        if weights:
            try:
                state = str(find_weights(weights))
            except FileNotFoundError:
                state = f"{weights} (missing)"
        rows.append({"name": name, "path": str(path), "weights": state})
    return rows


def datasets() -> list[dict[str, Any]]:
    """All bundled datasets for ``ovss test --on``, with their folder and classes."""
    from ovss.models.configs import config_dir, read_config

    rows = []
    for path in sorted((config_dir() / "_base_" / "datasets").glob("*.py")):
        dataset = read_config(path).test_dataloader.dataset
        names = dataset.get("vocabulary")
        vocabulary = names if isinstance(names, str) else f"{len(names or ())} names"
        rows.append(
            {"name": path.stem, "vocabulary": vocabulary, "images": dataset.get("images", "drawn")}
        )
    return rows


def protocols(dataset: str | None = None) -> list[dict[str, Any]]:
    """All named protocols with their hashes, prompts, sizes, views and quoted mIoU.

    Args:
        dataset: dataset of the full hash, named as for `ovss test --on`; None: no full hash. On
            some datasets a protocol has other fields and therefore another method hash.
    """
    from ovss.protocols.named import method_hash, named_protocols
    from ovss.protocols.protocol import ABSENT, Protocol, ProtocolError, templates_name
    from ovss.protocols.settled import named_on

    data = _data_config(dataset) if dataset else None
    rows = []
    for name, named in named_protocols().items():
        how = named.template.plain()
        hashes = {"method_hash": method_hash(Protocol(how).as_dict(), name), "full_hash": None}
        if data is not None:
            with suppress(ProtocolError):  # the dataset cannot be evaluated under this protocol
                settled = named_on(named, data)
                how = settled.protocol.how
                hashes = {"method_hash": settled.method_hash, "full_hash": settled.full_hash}
        views = f"{how.views.mode} {how.views.window or ''}/{how.views.stride or ''}".strip(" /")
        rows.append(
            {
                "name": name,
                **hashes,
                "prompts": f"{templates_name(how.prompts.templates)}, {how.prompts.synonyms}",
                "resize": "-" if how.resize.short is None else str(how.resize.short),
                "canvas": str(how.canvas.size),
                "views": views,
                "quotes": ABSENT[how.scores.absent][0],
                "source": named.source,
            }
        )
    return rows


def _data_config(name: str) -> Config:
    from mmengine.config import Config

    from ovss.models.configs import use_dataset

    config = Config()
    use_dataset(config, name)
    return config


def _with_titles(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Column titles of the protocols; without a dataset the full hash has no values."""
    titles = {key: key.replace("_", " ") for key in rows[0]}
    if all(row["full_hash"] is None for row in rows):
        titles["full_hash"] = "full hash (--on)"
    for row in rows:
        row["full_hash"] = row["full_hash"] or "-"
    return titles


def vocabularies() -> list[dict[str, Any]]:
    """All registered vocabularies."""
    from ovss.vocabularies import list_vocabularies, load_names

    rows = []
    for name in list_vocabularies():
        names = load_names(name)
        sample = "; ".join(names[:4])
        rows.append({"name": name, "categories": len(names), "sample": sample})
    return rows


def templates() -> list[dict[str, Any]]:
    """All registered lists of prompt templates."""
    from ovss.vocabularies import list_templates, load_templates

    rows = []
    for name in list_templates():
        prompts = load_templates(name)
        rows.append({"name": name, "prompts": len(prompts), "sample": prompts[0]})
    return rows


def plugins() -> list[dict[str, Any]]:
    """All installed plugins, including those that fail to load."""
    from ovss.models.plugins import find_plugins, plugin_problem

    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "module": plugin.module,
            "path": plugin.path,
            "problem": plugin_problem(plugin),
        }
        for plugin in find_plugins()
    ]


COLLECT = {
    "components": components,
    "methods": methods,
    "datasets": datasets,
    "protocols": protocols,
    "vocabularies": vocabularies,
    "templates": templates,
    "plugins": plugins,
}

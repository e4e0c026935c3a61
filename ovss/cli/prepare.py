"""From the official files of a benchmark to a folder that is ready.

  ovss prepare --list                                                    which, and where from
  ovss prepare ade20k_150 --source ~/downloads --out data/ade20k_150
  ovss prepare coco_stuff_171 --source /data/coco --out data/coco_stuff_171 --jobs 16
  ovss prepare --check data/ade20k_150                                   is it what was made?

A command that was ended goes on where it was; a folder that is whole is left alone.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovss.prepare import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the data set, see --list")
    parser.add_argument("--source", metavar="DIR", help="the official files, unpacked")
    parser.add_argument("--out", metavar="DIR", help="the folder to make")
    parser.add_argument("--list", action="store_true", help="show what can be prepared")
    parser.add_argument("--check", metavar="DIR", help="read a prepared folder again, all of it")
    parser.add_argument(
        "--splits", metavar="S,S", default="", help="train, val or both (default: see --list)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--link",
        choices=("hard", "symlink", "copy"),
        default="hard",
        help="how pictures come into the folder (default: hard links, copies where they cannot be)",
    )
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="warn instead of stopping where the source has less than the official set",
    )
    parser.add_argument(
        "--force", action="store_true", help="make a folder anew that is whole, or begun otherwise"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    from ovss.prepare import Options, prepare

    if args.list:
        rows = listing()
        print(json.dumps(rows, indent=2) if args.json else "\n\n".join(map(_told, rows)))
        return 0
    if args.check:
        return _check(args.check, not args.quiet)
    missing = [
        flag
        for flag, value in (("NAME", args.name), ("--source", args.source), ("--out", args.out))
        if not value
    ]
    if missing:
        raise ValueError(f"give {', '.join(missing)}; `ovss prepare --list` shows the names")
    options = Options(
        splits=tuple(args.splits.replace(",", " ").split()),
        jobs=args.jobs,
        link=args.link,
        allow_partial=args.allow_partial,
        force=args.force,
        progress=not args.quiet,
    )
    say = (lambda line: None) if args.json else partial(print, flush=True)
    outcome = prepare(args.name, args.source, args.out, options, say)
    if args.json:
        print(json.dumps(outcome.description, indent=2, ensure_ascii=False))
    else:
        print("\n".join(summary(outcome)))
    return 0


def _check(folder: str, progress: bool) -> int:
    from ovss.prepare import check_folder

    problems = check_folder(folder, progress)
    print("\n".join(problems) or f"{folder}: every label map is what was made")
    return 1 if problems else 0


def listing() -> list[dict[str, Any]]:
    """What can be prepared: names, classes, counts, terms and where the files are from."""
    from ovss.prepare import RECIPES

    return [
        {
            "name": recipe.name,
            "title": recipe.title,
            "classes": recipe.num_classes,
            "bits": recipe.bits,
            "splits": dict(recipe.splits),
            "default_splits": list(recipe.default_splits),
            "source": list(recipe.layout),
            "homepage": list(recipe.homepage),
            "licence": recipe.licence,
        }
        for recipe in RECIPES.values()
    ]


def _told(row: dict[str, Any]) -> str:
    counts = ", ".join(
        f"{split} {'' if count is None else count}".rstrip()
        + ("" if split in row["default_splits"] else " (on demand)")
        for split, count in row["splits"].items()
    )
    return "\n".join(
        [
            f"{row['name']}  {row['title']}",
            f"  makes    {row['classes']} classes in {row['bits']} bits; {counts}",
            *(f"  needs    {line}" for line in row["source"]),
            *(f"  from     {line}" for line in row["homepage"]),
            f"  licence  {row['licence']}",
        ]
    )


def summary(outcome: Outcome) -> list[str]:
    """The census of a prepared folder, for people."""
    said = outcome.description
    done = "is complete, left alone" if outcome.already else "is ready"
    lines = [f"{outcome.folder} {done}: {said['title']}"]
    if said["partial"]:
        lines.append("  not the whole official set: scores on it compare with nobody's")
    for split, counted in said["splits"].items():
        present = sum(1 for pixels, _ in said["census"][split] if pixels)
        unlabelled = counted["ignored_pixels"] / max(counted["pixels"], 1)
        lines.append(
            f"  {split}: {counted['images']} pictures, {len(counted['sizes'])} sizes, "
            f"{present} of {said['num_classes']} classes occur, {unlabelled:.1%} not labelled"
            + (f", {len(counted['dropped'])} left out" if counted["dropped"] else "")
        )
        lines.append(f"  {split}: labels {counted['labels_sha256'][:16]}")
    lines.append(f"  licence: {said['licence']}")
    return lines

"""Convert the official files of a benchmark to a dataset folder that `ovss test` and `train` read.

  ovss prepare --list                                                    datasets and their sources
  ovss prepare ade20k_150 --source ~/downloads --out data/ade20k_150
  ovss prepare coco_stuff_171 --source /data/coco --out data/coco_stuff_171 --jobs 16
  ovss prepare --check data/ade20k_150                                   verify a prepared folder

Run the same command again to continue an interrupted run. A complete folder is not changed.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovss.prepare import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss prepare`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="dataset, see --list")
    parser.add_argument("--source", metavar="DIR", help="folder of the unpacked official files")
    parser.add_argument("--out", metavar="DIR", help="dataset folder to write")
    parser.add_argument("--list", action="store_true", help="list the datasets and their sources")
    parser.add_argument("--check", metavar="DIR", help="read a prepared folder and verify it")
    parser.add_argument(
        "--splits", metavar="S,S", default="", help="train, val or both (default: see --list)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--link",
        choices=("hard", "symlink", "copy"),
        default="hard",
        help="how to put images into the folder (default: hard links, or copies where the file "
        "system does not allow them)",
    )
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="continue with a warning if official files are missing from the source",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a complete folder, or one begun with other options",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")


def run(args: argparse.Namespace) -> int:
    """Prepares, lists or checks; returns 1 if a check finds a problem, else 0.

    Raises:
        ValueError: NAME, --source or --out is missing.
    """
    from ovss.prepare import Options, prepare

    if args.list:
        rows = listing()
        print(
            json.dumps(rows, indent=2, allow_nan=False)
            if args.json
            else "\n\n".join(map(_entry, rows))
        )
        return 0
    if args.check:
        return _check(args.check, not args.quiet)
    missing = [
        flag
        for flag, value in (("NAME", args.name), ("--source", args.source), ("--out", args.out))
        if not value
    ]
    if missing:
        raise ValueError(
            f"Expected NAME, --source and --out, found no {', '.join(missing)}. "
            f"`ovss prepare --list` shows the names"
        )
    options = Options(
        splits=tuple(args.splits.replace(",", " ").split()),
        jobs=args.jobs,
        link=args.link,
        allow_partial=args.allow_partial,
        force=args.force,
        progress=not args.quiet,
    )
    log = (lambda line: None) if args.json else partial(print, flush=True)
    outcome = prepare(args.name, args.source, args.out, options, log)
    if args.json:
        from ovss.io.json_text import json_text

        print(json_text(outcome.description), end="")
    else:
        print("\n".join(summary(outcome)))
    return 0


def _check(folder: str, progress: bool) -> int:
    from ovss.prepare import check_folder

    problems = check_folder(folder, progress)
    print("\n".join(problems) or f"{folder}: all label maps are unchanged")
    return 1 if problems else 0


def listing() -> list[dict[str, Any]]:
    """Lists the datasets with their classes, image counts, source files and licences."""
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


def _entry(row: dict[str, Any]) -> str:
    counts = ", ".join(
        f"{split} {'' if count is None else count}".rstrip()
        + ("" if split in row["default_splits"] else " (on demand)")
        for split, count in row["splits"].items()
    )
    return "\n".join(
        [
            f"{row['name']}  {row['title']}",
            f"  result    {row['classes']} classes, {row['bits']}-bit label maps; {counts}",
            *(f"  source    {line}" for line in row["source"]),
            *(f"  homepage  {line}" for line in row["homepage"]),
            f"  licence   {row['licence']}",
        ]
    )


def summary(outcome: Outcome) -> list[str]:
    """Formats the contents of a prepared folder for a terminal."""
    description = outcome.description
    state = "was complete already" if outcome.already else "is ready"
    lines = [f"{outcome.folder} {state}: {description['title']}"]
    if description["partial"]:
        lines.append("  incomplete: do not compare results on it with those on the official files")
    for split, counts in description["splits"].items():
        present = sum(1 for pixels, _ in description["census"][split] if pixels)
        unlabelled = counts["ignored_pixels"] / max(counts["pixels"], 1)
        lines.append(
            f"  {split}: {counts['images']} images of {len(counts['sizes'])} sizes, "
            f"{present} of {description['num_classes']} classes occur, "
            f"{unlabelled:.1%} not labelled"
            + (f", {len(counts['dropped'])} left out" if counts["dropped"] else "")
        )
        lines.append(f"  {split}: SHA-256 of the labels {counts['labels_sha256'][:16]}")
    lines.append(f"  licence: {description['licence']}")
    return lines

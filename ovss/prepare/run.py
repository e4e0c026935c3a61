"""Preparation of a dataset: find the files, convert in parallel, count, and rename at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.arguments import check_fields, typed_arguments
from ovss.io.regular import path_errors

from .finished import describe_dataset, install, read_description, write_description
from .pool import convert_all
from .recipe import Recipe, SourceError, SplitFiles
from .recipes import find_recipe
from .staging import Staging
from .work import LINKS

__all__ = ["Options", "Outcome", "prepare"]

_RULES = 1
"""Version of the recipes, increased when one changes its output; earlier partial runs restart."""
_MAX_LISTED = 5


@dataclass(frozen=True)
class Options:
    """Options of `prepare`.

    Args:
        splits: splits to prepare; empty for the recipe's default.
        jobs: number of processes. None uses one per available core, at most 16.
        link: how images are placed in the folder, one of "hard", "symlink" and "copy".
        allow_partial: accepts a source that lacks official files, and prepares the rest.
        force: prepares a complete folder again, and discards an unfinished run with other options.
        progress: shows a progress bar if the output is a terminal.
    """

    splits: tuple[str, ...] = ()
    jobs: int | None = None
    link: str = "hard"
    allow_partial: bool = False
    force: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Outcome:
    """Result of `prepare`.

    Args:
        folder: prepared folder.
        description: content of its ``dataset.json``.
        made: number of images that this call converted.
        resumed: number of images that an earlier call had converted.
    """

    folder: Path
    description: dict[str, Any]
    made: int = 0
    resumed: int = 0

    @property
    def already(self) -> bool:
        """True if the folder was already complete and was left unchanged."""
        return not (self.made or self.resumed)


@typed_arguments
def prepare(
    name: str,
    source: str | Path,
    out: str | Path,
    options: Options = Options(),
    log: Callable[[str], None] = print,
) -> Outcome:
    """Prepares one dataset; docs/datasets.md describes the input and the output.

    If a call is interrupted, calling it again continues where it stopped. A complete folder is left
    unchanged.

    Args:
        name: name of the dataset, one of `RECIPES`.
        source: folder with the official files, unpacked.
        out: output folder. Until it is complete, it is called ``OUT.partial``.
        options: options of the preparation.
        log: function that receives progress messages and warnings.

    Raises:
        ValueError: the name, a split or an option is invalid. `SourceError`: the source is
            unsuitable. `LabelError`: a file cannot be converted.
        FileExistsError: `out` contains something else.
        OSError: the disk is full, or a folder cannot be written.
    """
    recipe = find_recipe(name)
    source, out = _absolute(source), _absolute(out)
    splits = _valid_splits(recipe, options)
    if not source.is_dir():
        raise recipe.missing(source, ())
    if out in (source, *source.parents):
        error = ValueError(
            f"the output folder {out} is the source folder or contains it. Choose another folder"
        )
        raise advised(error, "out")
    existing = read_description(out, recipe, splits, options.allow_partial, options.force)
    if existing is not None and not options.force:
        return Outcome(out, existing)
    files = {split: recipe.find(recipe, source, split) for split in splits}
    partial = _is_partial(recipe, source, files, options, log)
    header = {
        "name": name,
        "rules": _RULES,
        "source": str(source),
        "splits": list(splits),
        "link": options.link,
    }
    staging = Staging(out.with_name(f"{out.name}.partial"), header, options.force)
    try:
        items = [item for split_files in files.values() for item in split_files.items]
        todo = [item for item in items if not staging.is_done(item, recipe)]
        resumed = len(items) - len(todo)
        if resumed:
            log(f"{staging.folder}: continuing, {resumed} of {len(items)} images are done")
        jobs = min(options.jobs or _num_cores(), max(len(todo), 1))
        convert_all(recipe, todo, staging, options.link, jobs, resumed, options.progress)
        staging.keep_only(items, recipe)
        description = describe_dataset(recipe, staging, files, partial, {**header, "jobs": jobs})
        write_description(staging.folder, recipe, description)
        staging.file.close()
        # the lock is still held here, so that no other process starts during the rename
        install(staging.folder, out, replace=existing is not None)
    finally:
        staging.close()
    return Outcome(out, description, len(todo), resumed)


def _absolute(path: str | Path) -> Path:
    """Path without links; links in a circle stay, for which `Path.resolve` has its own error."""
    with path_errors(path):
        return Path(os.path.realpath(os.path.expanduser(path)))


def _valid_splits(recipe: Recipe, options: Options) -> tuple[str, ...]:
    """Requested splits without duplicates; invalid options raise ValueError."""
    splits = options.splits or recipe.default_splits
    unknown = [split for split in splits if split not in recipe.splits]
    if unknown:
        raise ValueError(
            f"{recipe.name} has no split {unknown[0]!r}; its splits are {', '.join(recipe.splits)}"
        )
    if options.link not in LINKS:
        raise ValueError(f"expected link to be one of {', '.join(LINKS)}, got {options.link!r}")
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"expected jobs to be at least 1, got {options.jobs}")
    return tuple(dict.fromkeys(splits))


def _num_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, 16)


def _is_partial(
    recipe: Recipe,
    source: Path,
    files: dict[str, SplitFiles],
    options: Options,
    log: Callable[[str], None],
) -> bool:
    """Checks whether the source lacks official files, and raises SourceError if that is an error.

    Notes of the recipe and warnings about missing files are logged.
    """
    problems = []
    for split, split_files in files.items():
        for note in split_files.notes:
            log(f"{split}: {note}")
        official, unpaired = recipe.splits[split], split_files.unpaired
        if unpaired:
            more = f"; {len(unpaired) - _MAX_LISTED} more" if len(unpaired) > _MAX_LISTED else ""
            problems.append(f"{split}: {'; '.join(unpaired[:_MAX_LISTED])}{more}")
        if official is not None and len(split_files.items) != official:
            problems.append(
                f"{split} has {len(split_files.items)} labelled images instead of {official}"
            )
        if not split_files.items:
            raise recipe.missing(source, (f"labelled image of split {split!r}",))
    if problems and not options.allow_partial:
        error = SourceError(
            f"{source} does not contain all of {recipe.name}. {'. '.join(problems)}. Complete it "
            f"from {'; '.join(recipe.homepage)} (licence: {recipe.licence}). Scores on the "
            f"existing images are not comparable with published ones"
        )
        raise advised(error, "allow_partial")
    for problem in problems:
        log(f"warning: {problem}")
    return bool(problems)

"""From a source to a prepared folder: look, convert in parallel, count, and only then rename."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.io.advice import advised

from .finished import describe, install, read_description, write_description
from .pool import convert_all
from .recipe import Found, Recipe, SourceError
from .recipes import find_recipe
from .staging import Staging
from .work import LINKS

__all__ = ["Options", "Outcome", "prepare"]

_RULES = 1
"""Raised when a recipe writes something else than before: what was begun so is then begun anew."""
_SHOWN = 5


@dataclass(frozen=True)
class Options:
    """How a data set is prepared.

    Args:
        splits: which; empty: the recipe's default.
        jobs: processes; None: one for each core that this process may use, at most 16.
        link: how pictures come into the folder, one of "hard", "symlink", "copy".
        allow_partial: take what pairs there are where the official files are not all there.
        force: make a complete folder anew; throw away what another run left half-made.
        progress: show a progress bar, where the output is a terminal.
    """

    splits: tuple[str, ...] = ()
    jobs: int | None = None
    link: str = "hard"
    allow_partial: bool = False
    force: bool = False
    progress: bool = True


@dataclass(frozen=True)
class Outcome:
    """What `prepare` leaves.

    Args:
        folder: the prepared folder.
        description: the content of its ``dataset.json``.
        made: pictures converted by this call.
        resumed: pictures that an earlier call had finished.
    """

    folder: Path
    description: dict[str, Any]
    made: int = 0
    resumed: int = 0

    @property
    def already(self) -> bool:
        """Whether the folder was there, whole, and was left alone."""
        return not (self.made or self.resumed)


def prepare(
    name: str,
    source: str | Path,
    out: str | Path,
    options: Options = Options(),
    say: Callable[[str], None] = print,
) -> Outcome:
    """Make one data set ready; docs/datasets.md tells what is read and written.

    A call that was ended, in whatever way, is taken up where it was by the same call. A folder that
    is whole is left alone.

    Args:
        name: of the data set, see `RECIPES`.
        source: folder of the official files, as their archives unpack.
        out: folder to be made. Until it is whole it is called ``OUT.partial``.
        say: gets a line now and then.

    Raises:
        ValueError: an unknown name, split or option; a source that is not what it should be
            (`SourceError`), a file that is not (`LabelError`); each names it and the mend.
        FileExistsError: `out` holds something else.
        OSError: no room, no right to write.
    """
    recipe = find_recipe(name)
    source, out = (Path(path).expanduser().resolve() for path in (source, out))
    splits = _checked(recipe, options)
    if not source.is_dir():
        raise recipe.missing(source, ())
    if out in (source, *source.parents):
        error = ValueError(f"the folder to make is the source or holds it: {out}. Name another one")
        raise advised(error, "out")
    before = read_description(out, recipe, splits, options.allow_partial, options.force)
    if before is not None and not options.force:
        return Outcome(out, before)
    found = {split: recipe.find(recipe, source, split) for split in splits}
    partial = _check_found(recipe, source, found, options, say)
    header = {
        "name": name,
        "rules": _RULES,
        "source": str(source),
        "splits": list(splits),
        "link": options.link,
    }
    staging = Staging(out.with_name(f"{out.name}.partial"), header, options.force)
    try:
        items = [item for one in found.values() for item in one.items]
        todo = [item for item in items if not staging.is_done(item, recipe)]
        resumed = len(items) - len(todo)
        if resumed:
            say(f"{staging.folder}: {resumed} of {len(items)} pictures are done, going on")
        jobs = min(options.jobs or _cores(), max(len(todo), 1))
        convert_all(recipe, todo, staging, options.link, jobs, resumed, options.progress)
        staging.keep_only(items, recipe)
        description = describe(recipe, staging, found, partial, {**header, "jobs": jobs})
        write_description(staging.folder, recipe, description)
        staging.file.close()
        install(staging.folder, out, replace=before is not None)  # nobody else begins meanwhile
    finally:
        staging.close()
    return Outcome(out, description, len(todo), resumed)


def _checked(recipe: Recipe, options: Options) -> tuple[str, ...]:
    splits = options.splits or recipe.default_splits
    wrong = [split for split in splits if split not in recipe.splits]
    if wrong:
        raise ValueError(
            f"{recipe.name} has no split {wrong[0]!r}; it has {', '.join(recipe.splits)}"
        )
    if options.link not in LINKS:
        raise ValueError(f"link must be one of {', '.join(LINKS)}, got {options.link!r}")
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {options.jobs}")
    return tuple(dict.fromkeys(splits))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, 16)


def _check_found(
    recipe: Recipe,
    source: Path,
    found: dict[str, Found],
    options: Options,
    say: Callable[[str], None],
) -> bool:
    """Compare what was found with what there should be; whether it is less."""
    lacking = []
    for split, one in found.items():
        for note in one.notes:
            say(f"{split}: {note}")
        official = recipe.splits[split]
        if one.unpaired:
            more = f"; and {len(one.unpaired) - _SHOWN} more" if len(one.unpaired) > _SHOWN else ""
            lacking.append(f"{split}: {'; '.join(one.unpaired[:_SHOWN])}{more}")
        if official is not None and len(one.items) != official:
            lacking.append(f"{split} has {len(one.items)} pairs, the official set {official}")
        if not one.items:
            raise recipe.missing(source, (f"picture of split {split!r} with its labels",))
    if lacking and not options.allow_partial:
        error = SourceError(
            f"{source} is not the whole of {recipe.name}: {'. '.join(lacking)}. Complete it from "
            f"{'; '.join(recipe.homepage)} (licence: {recipe.licence}). Scores on the pairs that "
            f"are there cannot be compared with published ones"
        )
        raise advised(error, "allow_partial")
    for line in lacking:
        say(f"warning: {line}")
    return bool(lacking)

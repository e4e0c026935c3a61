"""Parallel conversion of images with a bounded queue; errors are collected."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ovss.io.advice import advised

from .recipe import Item, LabelError, Recipe
from .staging import Staging
from .work import begin_worker, convert_item

__all__ = ["convert_all"]

_QUEUED_PER_JOB = 4
_MAX_PROBLEMS = 20
_MAX_LISTED = 5


def convert_all(
    recipe: Recipe,
    items: Sequence[Item],
    staging: Staging,
    link: str,
    jobs: int,
    done: int = 0,
    progress: bool = True,
) -> None:
    """Converts items into the staging folder; finished items are kept if others fail.

    Args:
        recipe: recipe of the dataset.
        items: items to convert.
        staging: staging folder, which records each item as soon as it is done.
        link: how images are placed in the folder, one of `LINKS`.
        jobs: number of processes. With 1, the work is done in this process.
        done: number of items finished earlier, for the progress bar.
        progress: shows a progress bar if the output is a terminal.

    Raises:
        LabelError: some files cannot be used; the message lists the first ones. After 20 problems
            the conversion stops.
        RuntimeError: a process was killed.
        OSError: the folder cannot be written.
    """
    from tqdm import tqdm

    problems: list[str] = []
    results = (
        _convert_serially(recipe, items, staging, link)
        if jobs == 1
        else _convert_in_parallel(recipe, items, staging, link, jobs)
    )
    with tqdm(
        total=done + len(items),
        initial=done,
        unit="image",
        desc=recipe.name,
        disable=None if progress else True,
    ) as bar:
        for result in results:
            bar.update()
            if isinstance(result, str):
                problems.append(result)
                if len(problems) >= _MAX_PROBLEMS:
                    break
            else:
                staging.add(result)
    if problems:
        more = f" | and {len(problems) - _MAX_LISTED} more" if len(problems) > _MAX_LISTED else ""
        raise LabelError(
            f"{' | '.join(problems[:_MAX_LISTED])}{more} | Finished images are kept in "
            f"{staging.folder}. Fix the files and run the same command again."
        )


def _convert_serially(
    recipe: Recipe, items: Sequence[Item], staging: Staging, link: str
) -> Iterator[dict[str, Any] | str]:
    for item in items:
        yield convert_item(recipe.name, item, str(staging.folder), link)


def _convert_in_parallel(
    recipe: Recipe, items: Sequence[Item], staging: Staging, link: str, jobs: int
) -> Iterator[dict[str, Any] | str]:
    """Yields results as they are finished; only a few items per process are queued at a time."""
    methods = multiprocessing.get_all_start_methods()
    # never "fork": a forked worker would inherit the threads' locks, such as tqdm's
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["ovss.prepare.work"])
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker)
    waiting: set[Future] = set()
    rest = iter(items)
    try:
        while True:
            while len(waiting) < jobs * _QUEUED_PER_JOB and (item := next(rest, None)) is not None:
                waiting.add(pool.submit(convert_item, recipe.name, item, str(staging.folder), link))
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        error = RuntimeError(
            f"a worker process ended unexpectedly, perhaps because memory ran out. Finished images "
            f"are kept in {staging.folder}. Run the same command again with fewer jobs"
        )
        raise advised(error, "jobs") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

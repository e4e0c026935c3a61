"""Many pictures at once: bounded, each noted as soon as it is done, errors gathered."""

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

_AHEAD = 4
_TOO_MANY = 20
_SHOWN = 5


def convert_all(
    recipe: Recipe,
    items: Sequence[Item],
    staging: Staging,
    link: str,
    jobs: int,
    done: int = 0,
    progress: bool = True,
) -> None:
    """Convert items into the staging folder; the good ones stay even where others are bad.

    Args:
        jobs: processes; with 1 the work is done in this one.
        done: how many were done before, for the progress bar.

    Raises:
        LabelError: files that cannot be used, the first ones named; after 20 the rest is not tried.
        RuntimeError: a process was killed.
        OSError: the folder cannot be written.
    """
    from tqdm import tqdm

    problems: list[str] = []
    results = (
        _here(recipe, items, staging, link)
        if jobs == 1
        else _in_parallel(recipe, items, staging, link, jobs)
    )
    with tqdm(
        total=done + len(items),
        initial=done,
        unit="picture",
        desc=recipe.name,
        disable=None if progress else True,
    ) as bar:
        for result in results:
            bar.update()
            if isinstance(result, str):
                problems.append(result)
                if len(problems) >= _TOO_MANY:
                    break
            else:
                staging.add(result)
    if problems:
        more = f" | and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise LabelError(
            f"{' | '.join(problems[:_SHOWN])}{more}. What is done stays in {staging.folder}: mend "
            f"the files and run the same command again"
        )


def _here(
    recipe: Recipe, items: Sequence[Item], staging: Staging, link: str
) -> Iterator[dict[str, Any] | str]:
    for item in items:
        yield convert_item(recipe.name, item, str(staging.folder), link)


def _in_parallel(
    recipe: Recipe, items: Sequence[Item], staging: Staging, link: str, jobs: int
) -> Iterator[dict[str, Any] | str]:
    """Results as they come; a few items wait at each process, not all of them."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["ovss.prepare.work"])
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker)
    waiting: set[Future] = set()
    rest = iter(items)
    try:
        while True:
            while len(waiting) < jobs * _AHEAD and (item := next(rest, None)) is not None:
                waiting.add(pool.submit(convert_item, recipe.name, item, str(staging.folder), link))
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        error = RuntimeError(
            f"a process ended before its image was done (killed, or out of memory?). What is "
            f"done stays in {staging.folder}. Run the same command again with fewer processes"
        )
        raise advised(error, "jobs") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""A whole data set: what is written about it, and how it takes its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ovss import __version__
from ovss.io.advice import advised
from ovss.io.files import write_text

from .census import split_census
from .recipe import Found, Recipe
from .staging import MANIFEST, Staging

__all__ = ["describe", "install", "read_description", "write_description"]

DESCRIPTION = "dataset.json"


def describe(
    recipe: Recipe,
    staging: Staging,
    found: dict[str, Found],
    partial: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """The content of ``dataset.json``; `ovss.prepare` lists its keys."""
    splits, census = {}, {}
    for split, one in found.items():
        splits[split], census[split] = split_census(
            staging.records(split), recipe.num_classes, recipe.ignored, one, recipe.splits[split]
        )
    return {
        "name": recipe.name,
        "title": recipe.title,
        "vocabulary": recipe.vocabulary,
        "num_classes": recipe.num_classes,
        "ignored": list(recipe.ignored),
        "bits": recipe.bits,
        "mask_suffix": recipe.mask_suffix,
        "partial": partial,
        "splits": splits,
        "licence": recipe.licence,
        "homepage": list(recipe.homepage),
        "source": options.pop("source"),
        "made_by": f"ovss {__version__}",
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "options": options,
        "census": census,
    }


def write_description(folder: Path, recipe: Recipe, description: dict[str, Any]) -> None:
    """``classes.json``, then ``dataset.json``, both all or nothing."""
    classes: dict[str, Any] = {"classes": list(recipe.names()), "ignored": list(recipe.ignored)}
    if recipe.word_class is not None:
        from ovss.vocabularies import load_names

        classes["words"] = list(load_names(recipe.vocabulary))
        classes["word_class"] = list(recipe.word_class)
    rest = {key: value for key, value in description.items() if key != "census"}
    census = json.dumps(description["census"])  # on one line: thousands of numbers
    for name, text in (
        ("classes.json", _readable(classes)),
        (DESCRIPTION, f'{_readable(rest)[:-2]},\n "census": {census}\n}}'),
    ):
        write_text(folder / name, f"{text}\n")


def _readable(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def install(staging: Path, out: Path, replace: bool) -> None:
    """Rename a staging folder to what it was made for.

    Args:
        replace: there is a folder, which goes once the new one is in its place.

    Raises:
        FileExistsError: there is one, and none was there to be replaced.
    """
    if hasattr(os, "sync"):
        os.sync()  # a machine that stops now must not leave a folder that only looks whole
    replaced = out.with_name(f"{out.name}.replaced")
    if replaced.exists() and not (replaced / DESCRIPTION).is_file():
        raise FileExistsError(f"{replaced} is in the way: move it away, run the same command again")
    if out.exists():
        if not replace:
            raise FileExistsError(
                f"{out} was not there when this began, and was not touched. What was made is whole "
                f"and stays in {staging}: move {out} away and run the same command again"
            )
        if replaced.exists():
            shutil.rmtree(replaced)
        out.rename(replaced)
    staging.rename(out)
    for name in (MANIFEST, ".lock"):
        (out / name).unlink(missing_ok=True)
    if replaced.exists():
        shutil.rmtree(replaced)


def read_description(
    out: Path, recipe: Recipe, splits: Sequence[str], allow_partial: bool, force: bool
) -> dict[str, Any] | None:
    """What a folder that is there says of itself; None where there is none, or an empty one.

    Raises:
        FileExistsError: it is not a prepared folder, or not what is wanted.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise FileExistsError(f"{out} is a file; name a folder that is not there yet")
    if not any(out.iterdir()):
        out.rmdir()
        return None
    path = out / DESCRIPTION
    if not path.is_file():
        error = FileExistsError(
            f"{out} is there and has no {DESCRIPTION}, so it was not prepared here: nothing in it "
            f"was touched. Name another folder, or move it away"
        )
        raise advised(error, "out")
    try:
        content = json.loads(path.read_text("utf-8"))
        name, done = content["name"], content["splits"]
    except (ValueError, KeyError, TypeError) as error:
        unread = FileExistsError(
            f"{path} cannot be read ({error}). Name another folder, or move {out} away"
        )
        raise advised(unread, "out") from None
    if name != recipe.name:
        other = FileExistsError(f"{out} holds {name}, not {recipe.name}. Name another folder")
        raise advised(other, "out")
    if force:
        return content
    reasons = [f"has no split {split!r}" for split in splits if split not in done]
    if content.get("partial") and not allow_partial:
        reasons.append("was made from part of the official files")
    for split, summary in done.items():
        for kind in ("images", "masks"):
            have = sum(1 for _ in (out / kind / split).glob("[!.]*"))
            if have != summary["images"]:
                reasons.append(f"has {have} files in {kind}/{split} instead of {summary['images']}")
    if reasons:
        stale = FileExistsError(f"{out} is {recipe.name}, but {', '.join(reasons)}")
        raise advised(stale, "force")
    return content

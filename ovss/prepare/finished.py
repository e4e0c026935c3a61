"""Completion of a prepared dataset: its description, and the rename to its final folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ovss import __version__
from ovss.io.advice import advised
from ovss.io.files import delete_tree, write_text

from .census import split_census
from .description import DESCRIPTION, load_description
from .recipe import Recipe, SplitFiles
from .staging import LOCK, MANIFEST, Staging

__all__ = ["describe_dataset", "install", "read_description", "write_description"]


def describe_dataset(
    recipe: Recipe,
    staging: Staging,
    files: dict[str, SplitFiles],
    partial: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Content of ``dataset.json``; the docstring of `ovss.prepare` lists its keys.

    Args:
        recipe: recipe of the dataset.
        staging: staging folder in which every item is done.
        files: files of each split in the source.
        partial: True if some official files are missing.
        options: options of the run, including the ``"source"``.
    """
    splits, census = {}, {}
    for split, split_files in files.items():
        splits[split], census[split] = split_census(
            staging.records(split),
            recipe.num_classes,
            recipe.ignored,
            split_files,
            recipe.splits[split],
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
    """Writes ``classes.json`` and then ``dataset.json``, each atomically."""
    classes: dict[str, Any] = {"classes": list(recipe.names()), "ignored": list(recipe.ignored)}
    if recipe.word_class is not None:
        from ovss.vocabularies import load_names

        classes["words"] = list(load_names(recipe.vocabulary))
        classes["word_class"] = list(recipe.word_class)
    rest = {key: value for key, value in description.items() if key != "census"}
    census = json.dumps(description["census"])  # thousands of numbers, so on one line
    for name, text in (
        ("classes.json", _readable(classes)),
        (DESCRIPTION, f'{_readable(rest)[:-2]},\n "census": {census}\n}}'),
    ):
        write_text(folder / name, f"{text}\n")


def _readable(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def install(staging: Path, out: Path, replace: bool) -> None:
    """Renames a finished staging folder to the output folder.

    Args:
        staging: staging folder, complete with its description.
        out: output folder.
        replace: True if `out` existed at the start. It is deleted after the new folder has taken
            its place.

    Raises:
        FileExistsError: `out` was created by someone else in the meantime, or a folder that is not
            ours occupies the name needed for the old one.
    """
    if hasattr(os, "sync"):
        os.sync()  # after a power loss, a folder with a description must have all its files
    old = out.with_name(f"{out.name}.replaced")
    if old.exists() and not (old / DESCRIPTION).is_file():
        raise FileExistsError(
            f"{old} is in the way, because the old output folder is renamed to it. Move it away "
            f"and run the same command again."
        )
    if out.exists():
        if not replace:
            raise FileExistsError(
                f"{out} was created by someone else during this run and was left unchanged. The "
                f"complete new dataset is in {staging}. Move {out} away and run the same command "
                f"again."
            )
        if old.exists():
            delete_tree(old)
        out.rename(old)
    staging.rename(out)
    for name in (MANIFEST, LOCK):
        (out / name).unlink(missing_ok=True)
    if old.exists():
        delete_tree(old)


def read_description(
    out: Path, recipe: Recipe, splits: Sequence[str], allow_partial: bool, force: bool
) -> dict[str, Any] | None:
    """Reads the description of an existing output folder and compares it with the request.

    Args:
        out: output folder.
        recipe: recipe of the requested dataset.
        splits: requested splits.
        allow_partial: accepts a dataset that lacks official files.
        force: skips the comparison, because the folder will be replaced.

    Returns:
        Description, or None if the folder does not exist or is empty.

    Raises:
        FileExistsError: the folder was not made by `ovss prepare`, or differs from the request.
    """
    if not out.exists():
        return None
    if not out.is_dir():
        raise FileExistsError(
            f"expected a folder, found the file {out}. Choose another output folder."
        )
    if not any(out.iterdir()):
        out.rmdir()
        return None
    path = out / DESCRIPTION
    if not path.is_file():
        error = FileExistsError(
            f"{out} exists and has no {DESCRIPTION}, so it was not made by `ovss prepare` and was "
            f"left unchanged. Choose another output folder or move it away"
        )
        raise advised(error, "out")
    try:
        content = load_description(path)
    except ValueError as error:
        unreadable = FileExistsError(f"{error}. Choose another output folder or move {out} away")
        raise advised(unreadable, "out") from None
    name, summaries = content["name"], content["splits"]
    if name != recipe.name:
        other = FileExistsError(
            f"{out} contains {name}, not {recipe.name}. Choose another output folder"
        )
        raise advised(other, "out")
    if force:
        return content
    reasons = [f"has no split {split!r}" for split in splits if split not in summaries]
    if content.get("partial") and not allow_partial:
        reasons.append("was made from part of the official files")
    for split, summary in summaries.items():
        for kind in ("images", "masks"):
            count = sum(1 for _ in (out / kind / split).glob("[!.]*"))
            if count != summary["images"]:
                reasons.append(
                    f"has {count} files in {kind}/{split} instead of {summary['images']}"
                )
    if reasons:
        stale = FileExistsError(f"{out} contains {recipe.name}, but it {' and '.join(reasons)}")
        raise advised(stale, "force")
    return content

"""Manifest of a labelling run: everything that was computed, with the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss import __version__
from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.io.locks import FileLock
from ovss.io.regular import open_regular

from .job import LabelJob
from .shard_files import ShardFacts, read_shard_facts, shard_path

__all__ = ["MANIFEST_FILE", "LabelCounts", "count_shards", "write_manifest"]

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class LabelCounts:
    """State of a run.

    Args:
        shards: number of shards in all.
        finished: finished shards.
        images: images in all.
        labelled: rows of finished shards, errors included.
        errors: rows with an error.
        size: bytes of the finished shards.
    """

    shards: int
    finished: int
    images: int
    labelled: int
    errors: int
    size: int

    @property
    def is_complete(self) -> bool:
        """True if every image has a row."""
        return self.finished == self.shards


def count_shards(job: LabelJob) -> LabelCounts:
    """Counts the finished shards of a run from their footers."""
    found = list(_finished(job))
    sizes = [shard_path(job.folder, facts.shard).stat().st_size for facts in found]
    return LabelCounts(
        job.facts.shards,
        len(found),
        job.facts.images,
        sum(facts.images for facts in found),
        sum(facts.errors for facts in found),
        sum(sizes),
    )


def write_manifest(job: LabelJob) -> Path:
    """Writes the manifest of the shards that are finished now, and returns its path."""
    path = job.folder / MANIFEST_FILE
    with FileLock(job.folder / ".manifest.lock", "run", wait=True):  # the last writer knows most
        write_text(path, json_text(_content(job, _known(path))))
    return path


def _content(job: LabelJob, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    counts = count_shards(job)
    return {
        "format": 1,
        "ovss": __version__,
        "complete": counts.is_complete,
        "images": counts.images,
        "labelled": counts.labelled,
        "errors": counts.errors,
        "shard_size": job.facts.shard_size,
        "sha256": job.sha256,
        "plan_sha256": job.facts.sha256,
        "inputs": job.facts.inputs,
        "repeated_images": job.facts.repeated,
        **job.identity,
        "shards": [_entry(job.folder, facts, known) for facts in _finished(job)],
    }


def _finished(job: LabelJob) -> Iterator[ShardFacts]:
    for number in range(job.facts.shards):
        facts = read_shard_facts(job.folder, number)
        if facts is not None and facts.job == job.sha256:
            yield facts


def _entry(folder: Path, facts: ShardFacts, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    path = shard_path(folder, facts.shard)
    status, name = path.stat(), path.relative_to(folder).as_posix()
    entry = {"file": name, "images": facts.images, "errors": facts.errors}
    entry |= {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    before = known.get(name, {})
    if {key: before.get(key) for key in entry} == entry and "sha256" in before:
        return before  # a resumed run need not read every shard once more
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {**entry, "sha256": digest.hexdigest()}


def _known(path: Path) -> dict[str, dict[str, Any]]:
    """Entries of an earlier manifest by file name."""
    try:
        with open_regular(path) as file:
            return {entry["file"]: entry for entry in json.load(file)["shards"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}

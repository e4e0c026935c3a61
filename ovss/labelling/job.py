"""Folder of a labelling run: its plan, and the record of what is computed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss import __version__
from ovss.io.advice import advised
from ovss.io.excerpts import excerpt
from ovss.io.files import write_text
from ovss.io.hashing import content_hash
from ovss.io.json_text import json_text
from ovss.io.locks import FileLock
from ovss.io.names import printable
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json

from .listing import ImageInputs
from .parquet_images import file_token
from .plan import PLAN_FILE, SHARD_SIZE, LabelPlan, PlanFacts, make_plan
from .shard_files import read_shard_facts

__all__ = ["JOB_FILE", "LabelJob", "open_job", "open_plan", "read_job"]

JOB_FILE = "run.json"
_LOCK = ".label.lock"


@dataclass(frozen=True)
class LabelJob:
    """Run of a folder: the same for every process and machine that works on it.

    Args:
        folder: folder of the run.
        facts: its list of images.
        identity: values that all runs of the folder share, see `find_identity`.
    """

    folder: Path
    facts: PlanFacts
    identity: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the identity and the list; every shard records it."""
        return content_hash([dict(self.identity), self.facts.sha256])

    def unfinished(self, retry_errors: bool = False) -> list[int]:
        """Numbers of the shards that have no finished file of this run.

        Args:
            retry_errors: True to count shards with error rows, too.
        """
        return [n for n in range(self.facts.shards) if not self.is_finished(n, retry_errors)]

    def is_finished(self, shard: int, retry_errors: bool = False) -> bool:
        """True if a shard has a finished file of this run.

        Raises:
            ValueError: the file belongs to another run.
        """
        facts = read_shard_facts(self.folder, shard)
        if facts is None:
            return False
        if facts.job != self.sha256:
            raise _other(self.folder, f"shard {shard} of another run")
        return not (retry_errors and facts.errors)


def open_plan(folder: Path, inputs: ImageInputs, shard_size: int | None) -> LabelPlan:
    """Plan of a folder; the images are listed only if it has none.

    Args:
        folder: folder of the run, created if missing.
        inputs: inputs of this run.
        shard_size: images of a shard; None: those of the plan, or `SHARD_SIZE`.

    Raises:
        FileExistsError: the folder holds a plan of other inputs.
        ImageError, ValueError, OSError: see `make_plan`.
    """
    path = folder / PLAN_FILE
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK, "run", wait=True):
        if not path.exists():
            make_plan(path, inputs, shard_size or SHARD_SIZE)
        plan = LabelPlan(path)
    facts = plan.facts
    if shard_size not in (None, facts.shard_size):
        raise _other(folder, f"shards of {facts.shard_size} images instead of {shard_size}")
    recorded = inputs.recorded()
    for key in recorded:
        if recorded[key] != facts.inputs.get(key):
            name = "images" if key == "sources" else key
            now, before = excerpt(recorded[key], 200), excerpt(facts.inputs.get(key), 200)
            raise _other(folder, f"a list with {name} {before} instead of {now}")
    for file, token in facts.files.items():
        if Path(file).exists() and file_token(Path(file)) != token:
            raise _other(folder, f"a list of images made before {printable(file)} was changed")
    return plan


def open_job(folder: Path, facts: PlanFacts, identity: Mapping[str, Any]) -> LabelJob:
    """Records a run in its folder, or checks that the folder belongs to the same run.

    Raises:
        FileExistsError: the folder belongs to a run with another model, vocabulary or rule. The
            message names the first difference.
    """
    job = LabelJob(folder, facts, dict(identity))
    with FileLock(folder / _LOCK, "run", wait=True):
        if (folder / JOB_FILE).exists():
            before = read_job(folder).identity
            for key in {**before, **identity}:
                if before.get(key) != identity.get(key):
                    was, now = excerpt(before.get(key), 200), excerpt(identity.get(key), 200)
                    raise _other(folder, f"a run with {key} {was} instead of {now}")
            return job
        content = {"ovss": __version__, "identity": identity, "plan_sha256": facts.sha256}
        write_text(folder / JOB_FILE, json_text({**content, "sha256": job.sha256}))
    return job


def read_job(folder: Path) -> LabelJob:
    """Run of a folder as it is recorded.

    Raises:
        FileNotFoundError: nothing was labelled into this folder.
        ValueError: a file of the run is damaged.
    """
    try:
        with open_regular(folder / JOB_FILE) as file:
            content = parse_json(file.read())
        identity = content["identity"]
        facts = LabelPlan(folder / PLAN_FILE).facts
        names = identity["categories"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("expected a list of categories")
        if content["plan_sha256"] != facts.sha256:
            raise ValueError("does not fit the list of images")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{printable(folder)}: expected a folder of `ovss label`, found no {JOB_FILE} in it"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else "lacks values"
        raise ValueError(f"{printable(folder / JOB_FILE)}: {reason}") from None
    return LabelJob(folder, facts, identity)


def _other(folder: Path, found: str) -> FileExistsError:
    error = FileExistsError(f"{printable(folder)}: this folder holds {found}")
    return advised(error, "out")

"""Label many images: a category for each pixel, as run-length masks in parquet files.

The images are listed once and cut into shards. A shard is computed by one worker and written by one
rename, so you can end a run at any moment and start the same command again: it continues. Several
machines that share the folder --out may run the same command at once. Images that cannot be read
get a row with the reason. The exit status is 0 if every image has masks, 3 if all are done and some
have an error, and 1 if the run did not finish.

  ovss label photos/ --words "cat, dog, sofa|couch, grass" --out labels --workers 4
  ovss label images.parquet --column url --vocabulary ade20k_150 --out labels --readers 16
  ovss label photos/ --words "cat, dog" --estimate
  ovss label --status labels
  ovss label --export coco-rle,labels labels masks
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .label_flags import add_arguments
from .segment_flags import config_overrides, request_of

if TYPE_CHECKING:
    from ovss.labelling.job import LabelJob
    from ovss.labelling.manifest import LabelCounts
    from ovss.labelling.running import LabelEngine, LabelSummary
    from ovss.labelling.settings import LabelSettings

__all__ = ["add_arguments", "run"]

MOST_WORKERS = 4
"""Workers on processors unless the user names a number; each holds a model."""

BAD_IMAGES = 3
"""Exit status if every image has a row, and some rows have an error."""


def run(args: argparse.Namespace) -> int:
    """Runs the action that the flags ask for and returns the exit status."""
    from ovss.labelling.extras import import_parquet

    import_parquet()  # raises an error before anything is listed
    if args.status:
        return _show_status(args)
    if args.export:
        from .label_export import run_export

        return run_export(args)
    if args.words is args.words_file is args.vocabulary is None:
        args.usage_error("one of the arguments --words --words-file --vocabulary is required")
    if args.estimate:
        from .label_estimate import run_estimate

        return run_estimate(args, label_settings(args), default_workers(args.device))
    return _label(args)


def _label(args: argparse.Namespace) -> int:
    from ovss.io.files import ensure_writable
    from ovss.labelling.extras import import_ray
    from ovss.labelling.job import open_job, open_plan
    from ovss.labelling.listing import ImageInputs
    from ovss.labelling.manifest import count_shards
    from ovss.labelling.running import fill_shards
    from ovss.labelling.settings import find_identity

    from .label_progress import ImageProgress

    if args.engine == "ray":
        import_ray()
    settings, folder = label_settings(args), Path(args.out)
    ensure_writable(folder)
    inputs = ImageInputs(tuple(args.sources), args.column, args.key, args.root)
    plan = open_plan(folder, inputs, args.shard_size)
    # the machine that starts a cluster may have no GPU
    here = ("cpu", "float32") if args.engine == "ray" else (args.device, args.precision)
    identity, notes = find_identity(settings, *here)
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    job = open_job(folder, plan.facts, identity)
    shards = job.unfinished(args.retry_errors)
    if args.shards is not None:
        shards = [n for n in shards if n % args.shards[1] == args.shards[0]]
    if not args.json:
        print(_beginning(job, count_shards(job), len(shards)), flush=True)
    progress = ImageProgress(sum(len(job.facts.rows(shard)) for shard in shards))
    try:
        engine = _engine(args, job, settings)
        summary = fill_shards(job, engine, shards, progress.add, args.retry_errors)
    finally:
        progress.close()
    counts = count_shards(job)
    print(_json_line(job, counts, summary) if args.json else _ending(job, counts, summary))
    if not counts.is_complete and args.shards is None:
        return 1
    return BAD_IMAGES if counts.errors else 0


def label_settings(args: argparse.Namespace) -> LabelSettings:
    """Model and rules that the flags ask for."""
    from ovss.labelling.settings import LabelSettings

    return LabelSettings(
        request_of(args),
        args.model,
        None if args.weights.lower() == "none" else args.weights,
        args.pretrained,
        args.synonyms,
        config_overrides(args),
        args.precision,
        args.device,
        args.tile,
        args.large,
        args.threads or _recorded_threads(Path(args.out)),
        args.readers,
    )


def _recorded_threads(folder: Path) -> int:
    """Threads of the workers of an earlier run in a folder; 1 if there is none."""
    from ovss.labelling.job import JOB_FILE, read_job

    recorded = read_job(folder).identity if (folder / JOB_FILE).exists() else {}
    return int(recorded.get("threads", 1))


def _engine(args: argparse.Namespace, job: LabelJob, settings: LabelSettings) -> LabelEngine:
    from ovss.labelling.local import LocalEngine
    from ovss.labelling.ray_engine import RayEngine

    run = secrets.token_hex(8)
    if args.engine == "ray":
        is_local = args.ray_address is None and not os.environ.get("RAY_ADDRESS")
        workers = args.workers or (default_workers(args.device) if is_local else None)
        return RayEngine(job, settings, run, workers, args.retry_errors, args.ray_address)
    workers = args.workers or default_workers(args.device)
    return LocalEngine(job, settings, run, workers, args.retry_errors)


def default_workers(device: str) -> int:
    """Workers of one machine: one for each GPU, or for a few processors."""
    import torch

    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return gpus or min(os.cpu_count() or 1, MOST_WORKERS)


def _show_status(args: argparse.Namespace) -> int:
    from ovss.labelling.job import read_job
    from ovss.labelling.manifest import count_shards

    if len(args.sources) != 1:
        args.usage_error(f"--status: expected one folder, got {len(args.sources)}")
    job = read_job(Path(args.sources[0]))
    counts = count_shards(job)
    if args.json:
        print(_json_line(job, counts, None))
    else:
        model = f"{job.identity['model']}, {len(job.identity['categories'])} categories"
        print(f"{_state(job, counts)}\nmodel: {model}")
    return 1 if not counts.is_complete else BAD_IMAGES if counts.errors else 0


def _beginning(job: LabelJob, counts: LabelCounts, shards: int) -> str:
    from ovss.io.names import printable

    facts = job.facts
    lines = [
        f"{facts.images:,} images in {facts.shards:,} shards of {facts.shard_size}; their list is "
        f"kept in {printable(job.folder / 'plan.parquet')}"
    ]
    if facts.repeated:
        lines.append(f"images named more than once, labelled once: {facts.repeated:,}")
    if facts.outputs:
        lines.append(f"outputs of earlier runs that were left out: {facts.outputs:,}")
    if counts.finished:
        lines.append(
            f"resuming: {counts.finished:,} shards with {counts.labelled:,} images are finished, "
            f"{shards:,} to compute here"
        )
    return "\n".join(lines)


def _state(job: LabelJob, counts: LabelCounts) -> str:
    from ovss.io.names import printable

    return (
        f"{counts.labelled:,} of {counts.images:,} images labelled in {printable(job.folder)}/ "
        f"({counts.finished:,} of {counts.shards:,} shards, {counts.size / 2**20:.1f} MiB), "
        f"{counts.errors:,} of them with an error"
    )


def _ending(job: LabelJob, counts: LabelCounts, summary: LabelSummary) -> str:
    lines = [_state(job, counts)]
    if summary.images:
        share = summary.model_seconds / summary.work_seconds
        lines.append(
            f"labelled here: {summary.images:,} images in {summary.seconds:.1f} s, "
            f"{summary.images / summary.seconds:.2f} a second; the model took {share:.1%} of the "
            "workers' time"
        )
    if summary.others:
        lines.append(f"labelled meanwhile by other runs: {summary.others:,} images")
    if counts.errors:
        lines.append("rows with an error name the reason; --retry-errors computes them again")
    return "\n".join(lines)


def _json_line(job: LabelJob, counts: LabelCounts, summary: LabelSummary | None) -> str:
    from ovss.io.json_text import json_text

    content = {"folder": str(job.folder), "complete": counts.is_complete, **vars(counts)}
    if summary is not None:
        content["this_run"] = vars(summary)
    return json_text(content, indent=None).rstrip()

"""Action `ovss label --estimate`: what a run takes, from a sample."""

from __future__ import annotations

import argparse
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovss.labelling.estimate import LabelEstimate
    from ovss.labelling.settings import LabelSettings

__all__ = ["run_estimate"]

MACHINES = (1, 4, 16, 64)
"""Numbers of machines in the table of hours."""


def run_estimate(args: argparse.Namespace, settings: LabelSettings, workers: int) -> int:
    """Labels a sample and prints what the whole run takes.

    Args:
        args: flags of the command.
        settings: model and rules.
        workers: workers of a machine like this one, unless a flag names them.
    """
    from ovss.io.files import temporary_folder
    from ovss.labelling.estimate import estimate_run
    from ovss.labelling.listing import ImageInputs
    from ovss.labelling.plan import PLAN_FILE, SHARD_SIZE, LabelPlan, make_plan

    from .label_progress import ImageProgress

    workers = args.workers or workers
    inputs = ImageInputs(tuple(args.sources), args.column, args.key, args.root)
    with temporary_folder(tempfile.gettempdir(), "ovss-estimate") as folder:
        make_plan(folder / PLAN_FILE, inputs, args.shard_size or SHARD_SIZE)
        plan, place = LabelPlan(folder / PLAN_FILE), folder / "sample"
        place.mkdir()
        progress = ImageProgress(min(args.sample, plan.facts.images))
        try:
            estimate = estimate_run(plan, settings, args.sample, place, progress.add)
        finally:
            progress.close()
    print(_json_line(estimate, workers) if args.json else _text(estimate, workers))
    return 0


def _text(estimate: LabelEstimate, workers: int) -> str:
    share = 1 - estimate.model_seconds / estimate.seconds
    lines = [
        f"images            {estimate.images:,}",
        f"seconds each      {estimate.seconds:.3f} in one worker, {share:.1%} of them outside of "
        f"the model (measured on {estimate.sample})",
        f"images in error   {estimate.errors} of the {estimate.sample}",
        f"memory            {estimate.memory / 2**30:.2f} GiB for each worker",
        f"bytes             {_size(estimate.images * estimate.row_bytes)}, "
        f"{estimate.row_bytes:,.0f} for each image",
        f"{'machines':>10}{'workers':>10}{'hours':>12}",
    ]
    for machines in MACHINES:
        total = machines * workers
        lines.append(f"{machines:>10}{total:>10}{estimate.hours(total):>12.2f}")
    lines.append(
        f"The hours assume machines like this one with {workers} workers that do not slow one "
        "another down. Run a part with --shards 0/100 to see the true rate."
    )
    return "\n".join(lines)


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _json_line(estimate: LabelEstimate, workers: int) -> str:
    from ovss.io.json_text import json_text

    hours = {str(machines): estimate.hours(machines * workers) for machines in MACHINES}
    content = {**vars(estimate), "workers": workers, "hours_by_machines": hours}
    return json_text(content, indent=None).rstrip()

"""Runs of the rows of an ablation: result files of `ovss test`, and cells of named weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovss.results.result_file import Result, read_result

from .cells import ACCURACY
from .document import ProtocolUse
from .jobs import row_label
from .plan import AblationGroup, AblationRow
from .view import ReportView

__all__ = ["RowRun", "files_of_row", "runs_of_group"]


@dataclass(frozen=True)
class RowRun:
    """One seed of a row on one dataset.

    Args:
        row: name of the row.
        seed: seed, as files or plan name it.
        data: dataset.
        images: number of its images.
        census: hash of its labels.
        metrics: mIoU, mIoU_seen, mIoU_unseen and hIoU in percent; None if undefined.
        source: file of the result, or of the weights.
        protocol: protocol of the run.
        problem: remark that a reader needs; empty for none.
    """

    row: str
    seed: str
    data: str
    images: int
    census: str
    metrics: dict[str, float | None]
    source: str
    protocol: ProtocolUse
    problem: str = ""


def runs_of_group(view: ReportView, group: AblationGroup) -> tuple[list[RowRun], list[str]]:
    """Runs of all rows of a group, and reasons why files could not be read.

    A run from weights replaces a result file of the same row, seed and dataset.
    """
    runs: dict[tuple[str, str, str], RowRun] = {}
    problems: list[str] = []
    for row in group.rows:
        for run in _from_files(group, row, problems):
            runs[run.row, run.seed, run.data] = run
        for run in _from_cells(view, group, row):
            runs[run.row, run.seed, run.data] = run
    return list(runs.values()), problems


def files_of_row(group: AblationGroup, row: AblationRow) -> list[tuple[str, Path]]:
    """(seed, path) of the files ROW_SEED.json and ROW_SEED_DATASET.json of the group's folder."""
    if not group.results:
        return []
    name = re.compile(rf"{re.escape(row.row)}_(\d+)(?:_[\w.-]+)?\.json")
    paths = sorted(Path(group.results).rglob("*.json"))
    return [(match[1], path) for path in paths if (match := name.fullmatch(path.name))]


def _from_files(group: AblationGroup, row: AblationRow, problems: list[str]) -> Iterable[RowRun]:
    for seed, path in files_of_row(group, row):
        try:
            result = read_result(path)
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} is left out: {error}")
            continue
        yield _from_result(row, seed, path, result)


def _from_result(row: AblationRow, seed: str, path: Path, result: Result) -> RowRun:
    expected, problem = Path(row.config.split(",")[0]).stem, ""
    if Path(result.config_name).stem != expected:
        problem = f"{path.name} is of the config {result.config_name}, expected {expected}"
    protocol = result.protocol
    return RowRun(
        row.row,
        str(int(seed)),
        result.data.name,
        result.data.images,
        result.data.census,
        dict(result.metrics),
        path.name,
        ProtocolUse(
            protocol.name, protocol.method_hash, result.data.name, protocol.full_hash, row.row
        ),
        problem,
    )


def _from_cells(view: ReportView, group: AblationGroup, row: AblationRow) -> Iterable[RowRun]:
    for data in group.datasets or view.plan.datasets:
        for seed in row.weights:
            cell = view.find(ACCURACY, row_label(row.row, seed), data)
            if cell is None or cell.content is None:
                continue
            values = cell.values
            protocol = values["protocol"]
            yield RowRun(
                row.row,
                seed,
                data,
                values["row"]["images"],
                values["census"],
                {key: values["row"][key] for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")},
                cell.job.weights,
                ProtocolUse(
                    protocol["name"],
                    protocol["method_hash"],
                    data,
                    protocol["full_hash"],
                    row.row,
                ),
            )

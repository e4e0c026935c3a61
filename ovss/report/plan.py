"""Plan of a report: methods, datasets, sizes of the vocabulary and groups of ablations."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CATEGORIES", "AblationGroup", "AblationRow", "ComparedMethod", "ReportPlan"]

CATEGORIES = (20, 150, 556, 2000, 10_000)
"""Sizes of the vocabulary at which cost is measured, if nothing else is asked for."""


@dataclass(frozen=True)
class ComparedMethod:
    """Method of a report.

    Args:
        config: name or path of a config, with settings after commas.
        weights: checkpoint, ``default`` (the config's own) or ``none`` (random).
        label: name in the report; empty for that of the config.
    """

    config: str
    weights: str = "default"
    label: str = ""


@dataclass(frozen=True)
class AblationRow:
    """Row of an ablation table.

    Args:
        row: name of the row in names of result files (``ROW_SEED.json``).
        config: name or path of its config, with settings after commas.
        title: title in the table; empty for `row`.
        published: name of the row in the published table; empty if it has none.
        weights: checkpoint by seed; these are evaluated.
    """

    row: str
    config: str
    title: str = ""
    published: str = ""
    weights: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationGroup:
    """Table of an ablation.

    Args:
        title: title of the table.
        rows: its rows; empty for a table of thresholds.
        full: `AblationRow.row` from which the others differ by a stated setting.
        published: number of the table in the published studies; empty for none.
        datasets: datasets on which weights and thresholds are evaluated; none: those of the plan.
        results: folder with result files of `ovss test`, named ``ROW_SEED.json``; empty for none.
        config: method whose selector is evaluated at several thresholds.
        thresholds: thresholds of its selector.
        note: remark below the table, such as the length of the trainings.
    """

    title: str
    rows: tuple[AblationRow, ...] = ()
    full: str = ""
    published: str = ""
    datasets: tuple[str, ...] = ()
    results: str = ""
    config: str = ""
    thresholds: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class ReportPlan:
    """Content of a report.

    Args:
        methods: methods to compare.
        datasets: names or paths of dataset configs.
        title: title of the report.
        categories: sizes of the vocabulary at which cost is measured; none skips the section.
        images: number of images of each dataset, from the first.
        within: percentage points of mIoU from the best within which the fastest and the smallest
            method are looked for.
        temperature: scale of cosines in the audit of the vocabulary; None for that of CLIP.
        examples: number of best and of worst images that are shown.
        ablations: tables of ablations.
        device: torch device.
    """

    methods: tuple[ComparedMethod, ...]
    datasets: tuple[str, ...]
    title: str = "Comparison of methods"
    categories: tuple[int, ...] = CATEGORIES
    images: int = 200
    within: float = 2.0
    temperature: float | None = None
    examples: int = 3
    ablations: tuple[AblationGroup, ...] = ()
    device: str = "cpu"

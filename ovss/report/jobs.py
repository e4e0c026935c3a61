"""Cells that a plan needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovss.benchmark.audit import AUDIT_TEMPERATURE

from .cells import ACCURACY, COST, MAPS, SCENES, THRESHOLDS, CellJob
from .cost_vocabulary import cost_names
from .plan import AblationGroup, ComparedMethod, ReportPlan

__all__ = [
    "example_jobs",
    "method_labels",
    "report_jobs",
    "row_label",
]


def method_labels(methods: Sequence[ComparedMethod]) -> list[str]:
    """Names of the methods in the report, all different: label, config, or config and weights.

    >>> method_labels([ComparedMethod("a"), ComparedMethod("b,k=1"), ComparedMethod("b", "none")])
    ['a', 'b,k=1', 'b (none)']
    """
    stems = [each.label or Path(each.config.split(",")[0]).stem for each in methods]
    labels: list[str] = []
    for each, stem in zip(methods, stems):
        label = stem
        if stems.count(stem) > 1:
            _, comma, settings = each.config.partition(",")
            label = f"{stem}{comma}{settings}" if not each.label else stem
            if each.weights != "default":
                label += f" ({Path(each.weights).stem})"
        number = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{number + 1}" if number else label)
    return labels


def report_jobs(plan: ReportPlan) -> list[CellJob]:
    """Cells of a plan, without those of example images: accuracy, cost, ablations.

    Raises:
        FileNotFoundError: an unknown method or dataset.
    """
    common: dict[str, Any] = {"images": plan.images, "device": plan.device}
    temperature = AUDIT_TEMPERATURE if plan.temperature is None else plan.temperature
    labels = method_labels(plan.methods)
    jobs = [
        CellJob(ACCURACY, each.config, label, data, weights=each.weights,
                temperature=temperature, **common)
        for data in plan.datasets
        for each, label in zip(plan.methods, labels)
    ]  # fmt: skip
    names, _ = cost_names(plan) if plan.categories else ((), 0)
    jobs += [
        CellJob(COST, each.config, label, plan.datasets[0], weights=each.weights,
                names=names[:size], **common)
        for size in sorted(set(plan.categories))
        for each, label in zip(plan.methods, labels)
    ]  # fmt: skip
    for group in plan.ablations:
        jobs += _group_jobs(group, plan, temperature)
    return jobs


def _group_jobs(group: AblationGroup, plan: ReportPlan, temperature: float) -> list[CellJob]:
    datasets = group.datasets or plan.datasets
    if group.thresholds:
        label = Path(group.config.split(",")[0]).stem
        return [
            CellJob(THRESHOLDS, group.config, label, data, plan.images, device=plan.device,
                    thresholds=group.thresholds)
            for data in datasets
        ]  # fmt: skip
    return [
        CellJob(ACCURACY, row.config, row_label(row.row, seed), data, plan.images, file,
                plan.device, temperature=temperature)
        for data in datasets
        for row in group.rows
        for seed, file in row.weights.items()
    ]  # fmt: skip


def row_label(row: str, seed: str) -> str:
    """Label of the cell of a row and a seed."""
    return f"{row}, seed {seed}"


def example_jobs(plan: ReportPlan, data: str, numbers: Sequence[int]) -> list[CellJob]:
    """Cells of example images of a dataset: images and ground truth, then the methods' maps."""
    common: dict[str, Any] = {
        "images": plan.images,
        "device": plan.device,
        "numbers": tuple(numbers),
    }
    labels = method_labels(plan.methods)
    scenes = CellJob(SCENES, plan.methods[0].config, "images", data, **common)
    return [
        scenes,
        *(
            CellJob(MAPS, each.config, label, data, weights=each.weights, **common)
            for each, label in zip(plan.methods, labels)
        ),
    ]

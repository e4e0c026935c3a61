"""Cells that a plan needs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from ovss.benchmark.audit import AUDIT_TEMPERATURE
from ovss.benchmark.images import open_dataset
from ovss.benchmark.table_jobs import config_of
from ovss.mini_world import names as mini_names

from .cells import ACCURACY, COST, MAPS, SCENES, THRESHOLDS, CellJob
from .plan import AblationGroup, MethodChoice, ReportPlan

__all__ = [
    "cost_names",
    "example_jobs",
    "made_up_names",
    "method_labels",
    "report_jobs",
    "row_label",
]

_ONSETS = "b d f g k l m n p r s t v z br dr gr kl pl st tr sh".split()
_VOWELS = "a e i o u ai ea ou".split()


def method_labels(methods: Sequence[MethodChoice]) -> list[str]:
    """Names of the methods in the report, all different: label, config, or config and weights.

    >>> method_labels([MethodChoice("a"), MethodChoice("b,k=1"), MethodChoice("b", "none")])
    ['a', 'b,k=1', 'b (none)']
    """
    stems = [each.label or Path(each.config.split(",")[0]).stem for each in methods]
    labels: list[str] = []
    for each, stem in zip(methods, stems):
        label = stem
        if stems.count(stem) > 1:
            name, comma, settings = each.config.partition(",")
            label = f"{stem}{comma}{settings}" if not each.label else stem
            if each.weights != "default":
                label += f" ({Path(each.weights).stem})"
        number = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{number + 1}" if number else label)
    return labels


def made_up_names(count: int, known: Sequence[str] = (), seed: int = 0) -> list[str]:
    """Pronounceable names of two words that mean nothing, all different and none of `known`."""
    draw, used, names = random.Random(seed), set(known), []
    while len(names) < count:
        words = [
            "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(draw.randint(2, 3)))
            for _ in range(2)
        ]
        name = " ".join(words)
        if name not in used:
            used.add(name)
            names.append(name)
    return names


def cost_names(plan: ReportPlan) -> tuple[tuple[str, ...], int]:
    """Names of the largest vocabulary of the cost section, and how many of them are real.

    Those of the datasets come first, the smallest dataset first, then those of the mini world if
    the plan has one of its datasets, then made-up names.
    """
    config = config_of(plan.methods[0].config)
    names = [open_dataset(config, data, 1).names for data in plan.datasets]
    every = dict.fromkeys(name for each in sorted(names, key=len) for name in each)
    if any(set(each) <= set(mini_names("mini_556")) for each in names):
        every.update(dict.fromkeys(mini_names("mini_556")))
    real = list(every)
    largest = max(plan.categories, default=0)
    return (*real, *made_up_names(largest - len(real), real))[:largest], len(real)


def report_jobs(plan: ReportPlan) -> list[CellJob]:
    """Cells of a plan, without those of example images: accuracy, cost, ablations.

    Raises:
        FileNotFoundError: an unknown method or dataset.
    """
    common = {"images": plan.images, "device": plan.device}
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
    common = {"images": plan.images, "device": plan.device, "numbers": tuple(numbers)}
    labels = method_labels(plan.methods)
    scenes = CellJob(SCENES, plan.methods[0].config, "images", data, **common)
    return [
        scenes,
        *(
            CellJob(MAPS, each.config, label, data, weights=each.weights, **common)
            for each, label in zip(plan.methods, labels)
        ),
    ]

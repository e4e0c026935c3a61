"""Counts what methods compute, by stage, and compares it with recorded counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ovss.io.option_values import check_range, check_values
from ovss.kernels import fixed_kernels
from ovss.models.configs import load_config

from .arguments import parse_method, random_model
from .clock import staged
from .complexity import on_meta
from .stage_walk import walk_stages
from .stand_ins import (
    has_variable_count,
    keep_fixed,
    numbered_names,
    random_image,
    random_text,
)
from .work_meter import Work, total_work, work_meter

KEPT = 32
"""Categories that a view keeps, unless `WorkCase.kept` says otherwise."""


@dataclass(frozen=True)
class WorkCase:
    """Settings of one count.

    Args:
        method: name or path of a config, with settings after commas.
        categories: size of the vocabulary.
        kept: number of categories that a view keeps, for methods whose selector depends on the
            image.
        size: (height, width) of the image.
        by_shape: True to count one view of a model without memory, stage by stage; False to count
            a whole image on the CPU.

    Raises:
        TypeError: a value of another type.
        ValueError: a number is out of range.
    """

    method: str
    categories: int = 150
    kept: int = KEPT
    size: tuple[int, int] = (640, 640)
    by_shape: bool = False

    def __post_init__(self) -> None:
        check_values(WorkCase, vars(self), "WorkCase")
        sides = dict(zip(("height", "width"), self.size, strict=True))
        check_range("WorkCase", 1, categories=self.categories, kept=self.kept, **sides)

    def __str__(self) -> str:
        unit = (
            "a view by shape" if self.by_shape else f"an image of {self.size[0]} x {self.size[1]}"
        )
        return f"{self.method}, {self.categories} categories, {unit}"


@dataclass(frozen=True)
class WorkCount:
    """Counted work of a case.

    Args:
        case: settings.
        stages: stage -> its work. ``text`` is counted by shape only.
    """

    case: WorkCase
    stages: dict[str, Work]

    @property
    def total(self) -> Work:
        """Work of all stages but ``text``, which runs once for a vocabulary."""
        return total_work({name: work for name, work in self.stages.items() if name != "text"})

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON."""
        stages = {name: work.as_dict() for name, work in self.stages.items()}
        return {**asdict(self.case), "total": self.total.as_dict(), "stages": stages}


def count_work(case: WorkCase) -> WorkCount:
    """Counts a case with random weights, random inputs and the kernels of the fixed rule.

    The counts are the same in every run.

    Raises:
        FileNotFoundError: an unknown method.
        MissingExtraError: a method that needs a package that is not installed.
    """
    with torch.random.fork_rng(devices=[]), fixed_kernels():
        torch.manual_seed(0)
        return WorkCount(case, _view(case) if case.by_shape else _image(case))


def _image(case: WorkCase) -> dict[str, Work]:
    """Work of segmenting an image, after a first one, because tables are made once."""
    _, model = random_model(*parse_method(case.method), "cpu")
    model.requires_grad_(False)  # see `walk_stages`
    if has_variable_count(model):
        keep_fixed(model, case.kept)
    text = random_text(model, numbered_names(case.categories))
    image_3HW = random_image(case.size)
    with torch.no_grad():
        model.label_map(model.scores(image_3HW, text), case.size)
    with work_meter() as meter, staged(model, meter):
        model.label_map(model.scores(image_3HW, text), case.size)
    return meter.stages


def _view(case: WorkCase) -> dict[str, Work]:
    """Work of one view by stage. Only the post-processor sees the whole image."""
    name, settings = parse_method(case.method)
    model = on_meta(load_config(name, settings))
    kept = min(case.kept, case.categories) if has_variable_count(model) else None
    found: dict[str, Work] = {}

    def measure(stage: str, run: Callable[[], Any]) -> Any:
        with work_meter() as meter:
            result = run()
        found[stage] = total_work(meter.stages)
        return result

    walk_stages(model, numbered_names(case.categories), kept, case.size, measure)
    return found


def work_text(count: WorkCount) -> str:
    """Formats a count for a terminal."""
    lines = [f"{count.case}", f"  {'stage':<16}{'GFLOPs':>12}{'calls':>10}{'peak MiB':>12}"]
    for name, work in {**count.stages, "total": count.total}.items():
        lines.append(
            f"  {name:<16}{work.flops / 1e9:>12,.3f}{work.calls:>10,}"
            f"{work.peak_bytes / 2**20:>12,.1f}"
        )
    return "\n".join(lines)

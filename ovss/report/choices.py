"""Choice among methods on one dataset: ranking, certainty, and who wins in what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cells import Cell
from .intervals import areas_of, centred_draws, interval
from .view import ReportView

__all__ = ["Standing", "cheapest_within", "rank_methods"]


@dataclass(frozen=True)
class Standing:
    """Method in the ranking of a dataset.

    Args:
        label: method.
        cell: its accuracy cell.
        miou: mIoU in percent.
        limits: 95 % interval of mIoU over the images.
        behind: 95 % interval of the first method's lead over this one, on the same images; None
            for the first, and for methods on other labels.
        is_bound: True for an upper bound, which reads the ground truth.
    """

    label: str
    cell: Cell
    miou: float
    limits: tuple[float, float]
    behind: tuple[float, float] | None
    is_bound: bool

    @property
    def ties(self) -> bool:
        """True if the images cannot tell this method from the first."""
        return self.behind is not None and self.behind[0] <= 0

    def value(self, key: str) -> float | None:
        """Value of the table's row."""
        found: float | None = self.cell.values["row"][key]
        return found


def rank_methods(view: ReportView, data: str) -> list[Standing]:
    """Methods on a dataset, the highest mIoU first, upper bounds last."""
    cells = [view.accuracy(label, data) for label in view.labels]
    known = [cell for cell in cells if cell is not None and cell.values["row"]["mIoU"] is not None]
    known.sort(key=lambda cell: (cell.values["row"]["upper_bound"], -cell.values["row"]["mIoU"]))
    draws = [_draws(cell) for cell in known]
    standings = []
    for cell, draws_D in zip(known, draws):
        row, behind = cell.values["row"], None
        is_same = cell.values["census"] == known[0].values["census"]
        if cell is not known[0] and is_same and not row["upper_bound"]:
            behind = interval(draws[0] - draws_D)
        standings.append(
            Standing(
                cell.job.label, cell, row["mIoU"], interval(draws_D), behind, row["upper_bound"]
            )
        )
    return standings


def _draws(cell: Cell) -> NDArray[np.float64]:
    values = cell.values
    return centred_draws(areas_of(values["areas"]), len(values["names"]), values["row"]["images"])


def cheapest_within(
    standings: Sequence[Standing], key: str, within: float
) -> tuple[Standing, float] | None:
    """Cheapest method whose mIoU is at most some points below the best, and its cost.

    Args:
        standings: methods, see `rank_methods`.
        key: cost, a key of the table's rows.
        within: percentage points.

    Returns:
        None if no method has this cost.
    """
    real = [each for each in standings if not each.is_bound]
    best = max((each.miou for each in real), default=0.0)
    costs = [
        (each, cost)
        for each in real
        if each.miou >= best - within and (cost := each.value(key)) is not None
    ]
    return min(costs, key=lambda pair: pair[1], default=None)

"""Section: accuracy against time and against memory, with the Pareto line."""

from __future__ import annotations

from ..document import Block, Section
from ..figure_scatter import ScatterPoint, scatter_figure
from ..view import ReportView, protocol_uses
from .parts import paragraph, plain

__all__ = ["tradeoff_section"]

_COSTS = (
    ("seconds", "time", "ms of {clock} time an image", 1000.0),
    ("memory", "memory", "MiB above weights and text features", 1 / 2**20),
)


def tradeoff_section(view: ReportView) -> Section:
    """One figure for each dataset and cost."""
    blocks: list[Block] = [paragraph(plain(
        "A filled marker is on the Pareto line: no other method is cheaper and at least as "
        "accurate. Choose from the line; everything else costs more for less. Upper bounds, which "
        "read the ground truth, are left out."
    ))]  # fmt: skip
    cells = []
    for data in view.plan.datasets:
        found = [view.accuracy(label, data) for label in view.labels]
        known = [
            cell
            for cell in found
            if cell is not None
            and cell.values["row"]["mIoU"] is not None
            and not cell.values["row"]["upper_bound"]
        ]
        cells += known
        for key, name, title, scale in _COSTS:
            points = [
                ScatterPoint(
                    cell.job.label, view.color(cell.job.label),
                    scale * cell.values["row"][key], cell.values["row"]["mIoU"],
                )
                for cell in known
                if cell.values["row"][key]
            ]  # fmt: skip
            if points:
                clock = known[0].values["row"]["clock"]
                blocks.append(scatter_figure(
                    view.anchors.of("figure", data, f"accuracy_{name}"),
                    f"{data}: accuracy and {name}", title.format(clock=clock), points,
                ))  # fmt: skip
    return Section("tradeoff", "Accuracy against time and memory", tuple(blocks),
                   protocol_uses(cells))  # fmt: skip

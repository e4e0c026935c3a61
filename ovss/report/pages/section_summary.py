"""Section: what to choose, in sentences computed from the cells."""

from __future__ import annotations

from collections.abc import Sequence

from ..choices import Standing, cheapest_within, rank_methods
from ..document import Block, Entry, Items, Paragraph, Section
from ..intervals import DRAWS
from ..slopes import STRAIGHT, Growth, fit_growth
from ..view import ReportView, formatted, protocol_uses
from .parts import paragraph, plain, quiet, strong

__all__ = ["summary_section"]


def summary_section(view: ReportView) -> Section:
    """Best accuracy, fastest and smallest method of each dataset, and the flattest growth."""
    blocks: list[Block] = []
    cells = []
    for data in view.plan.datasets:
        standings = rank_methods(view, data)
        cells += [each.cell for each in standings]
        if not standings:
            blocks.append(paragraph(plain(f"No method was measured on {data}.")))
            continue
        blocks.append(paragraph(strong(data)))
        blocks.append(Items(tuple(_sentences(view, data, standings))))
    growth = _growth_sentences(view)
    if growth:
        blocks += [paragraph(strong("Large vocabularies")), Items(tuple(growth))]
    failed = view.failed()
    if failed:
        note = f"{len(failed)} of {len(view.cells)} cells failed; see "
        blocks.append(paragraph(plain(note), Entry("how it was made", link="made"), plain(".")))
    blocks.append(paragraph(quiet(
        f"Intervals hold 95 % of {DRAWS:,} draws of the images with replacement, centred on the "
        f"measured value. They say how much a value depends on the choice of images, and not on "
        f"the seed of a training."
    )))  # fmt: skip
    return Section("summary", "What to choose", tuple(blocks), protocol_uses(cells))


def _sentences(view: ReportView, data: str, standings: Sequence[Standing]) -> list[Paragraph]:
    real = [each for each in standings if not each.is_bound]
    if not real:
        return []
    found = [_best(view, data, real)]
    unseen = [each for each in real if each.value("mIoU_unseen") is not None]
    if unseen:
        best = max(unseen, key=lambda each: each.value("mIoU_unseen") or 0.0)
        found.append(paragraph(
            plain("Best on categories that training never saw: "), strong(best.label),
            plain(" with "),
            _value(view, data, best, "unseen", formatted(best.value("mIoU_unseen"))),
            plain(" % mIoU."),
        ))  # fmt: skip
    for key, metric, verb in (("seconds", "seconds", "Fastest"), ("memory", "memory", "Smallest")):
        sentence = _cheapest(view, data, real, key, metric, verb)
        found += [sentence] if sentence else []
    return found


def _best(view: ReportView, data: str, real: Sequence[Standing]) -> Paragraph:
    best, ties = real[0], [each for each in real[1:] if each.ties]
    low, high = best.limits
    parts = [
        plain("Best accuracy: "), strong(best.label), plain(" with "),
        _value(view, data, best, "miou", formatted(best.miou)),
        plain(f" % mIoU (95 % interval {low:.1f} to {high:.1f})."),
    ]  # fmt: skip
    for index, each in enumerate(ties):
        lead = "These images cannot tell it from " if not index else ", "
        low, high = each.behind or (0.0, 0.0)
        value = _value(view, data, each, "miou", formatted(each.miou))
        parts += [plain(f" {lead}" if not index else lead), strong(each.label), plain(" (")]
        parts += [value, plain(f" %, lead {low:+.1f} to {high:+.1f})")]
    if ties:
        parts.append(plain("."))
    elif len(real) > 1:
        behind = real[1].behind
        gap = f", behind by {behind[0]:.1f} to {behind[1]:.1f} points" if behind else ""
        parts += [plain(" Next: "), strong(real[1].label), plain(" ("),
                  _value(view, data, real[1], "miou", formatted(real[1].miou)),
                  plain(f" %{gap}).")]  # fmt: skip
    return paragraph(*parts)


def _cheapest(
    view: ReportView, data: str, real: Sequence[Standing], key: str, metric: str, verb: str
) -> Paragraph | None:
    within = view.plan.within
    found = cheapest_within(real, key, within)
    if found is None:
        return None
    each, cost = found
    if key == "seconds":
        clock = each.cell.values["row"]["clock"]
        text, unit = formatted(1000 * cost), f" ms of {clock} time an image"
    else:
        text, unit = formatted(cost / 2**20), " MiB above weights and text features"
    best = real[0].value(key)
    times = ""
    if each is not real[0] and best and cost > 0:
        times = f", {best / cost:.1f} times less than {real[0].label}"
    name = "memory" if key == "memory" else "method"
    return paragraph(
        plain(f"{verb} {name} within {within:g} points of the best mIoU: "), strong(each.label),
        plain(" with "), _value(view, data, each, metric, text),
        plain(f"{unit}{times}, at {each.miou:.1f} % mIoU."),
    )  # fmt: skip


def _growth_sentences(view: ReportView) -> list[Paragraph]:
    sizes = sorted(set(view.plan.categories))
    slopes = []
    for label in view.labels:
        cells = [(size, view.cost(label, size)) for size in sizes]
        known = [(size, cell.values["seconds"]) for size, cell in cells if cell is not None]
        fit = fit_growth([s for s, _ in known], [c for _, c in known]) if len(known) > 1 else None
        if fit is not None and len(known) == len(sizes):
            slopes.append((known[-1][1], label, fit))
    if len(slopes) < 2:
        return []
    slopes.sort(key=lambda each: each[0])
    (low, first, fit), (high, last, other) = slopes[0], slopes[-1]
    size, is_line = str(sizes[-1]), max(fit.deviation, other.deviation) <= STRAIGHT
    return [paragraph(
        plain(f"With {sizes[-1]:,} names, an image takes "),
        Entry(formatted(1000 * low), link=view.anchors.of("cost", first, size, "seconds")),
        plain(" ms with "), strong(first), plain(" and "),
        Entry(formatted(1000 * high), link=view.anchors.of("cost", last, size, "seconds")),
        plain(" ms with "), strong(last),
        plain(f". {_added(fit, other)}" if is_line else "."),
    )]  # fmt: skip


def _added(*fits: Growth) -> str:
    """Sentence about the added time; nothing is measured below a tenth of a millisecond."""
    times = [
        f"{1e6 * fit.slope:.1f} ms" if fit.slope >= 1e-7 else "nothing that can be measured"
        for fit in fits
    ]
    return f"Another 1,000 names add {' and '.join(times)}."


def _value(view: ReportView, data: str, each: Standing, metric: str, text: str) -> Entry:
    return Entry(text, link=view.anchors.of(data, each.label, metric))

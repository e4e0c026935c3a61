"""Makes a report: measures what its plan needs, and writes it as HTML and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import IO

from ovss.io.files import write_atomic, write_text
from ovss.io.locks import FileLock

from .cells import Cell, CellJob
from .choices import rank_methods
from .cost_vocabulary import cost_names
from .document import Document, Examples, Section
from .example_choice import choose_examples
from .example_sheet import example_sheet
from .jobs import example_jobs, report_jobs
from .measure import Run, in_own_process, measure_cells
from .pages.section_ablations import ablations_section
from .pages.section_categories import categories_section
from .pages.section_confusion import confusion_section
from .pages.section_examples import examples_section
from .pages.section_growth import growth_section
from .pages.section_made import made_section
from .pages.section_published import published_section
from .pages.section_summary import summary_section
from .pages.section_table import table_section
from .pages.section_tradeoff import tradeoff_section
from .plan import ReportPlan
from .render_html import html_page
from .render_markdown import example_file, figure_file, markdown_page
from .store import CellStore
from .view import ReportView

__all__ = ["document_of", "make_report", "measured_view"]

Log = Callable[[str], None]


def make_report(
    plan: ReportPlan,
    folder: str | Path,
    command: str,
    again: bool = False,
    log: Log = lambda line: None,
    run: Run = in_own_process,
) -> list[Cell]:
    """Measures the cells of a plan that are new, and writes the report.

    Args:
        plan: plan.
        folder: folder of the report, created if missing.
        command: command line, shown in the report.
        again: True to measure all cells.
        log: callback for lines of progress.
        run: function that measures one cell.

    Returns:
        Cells that failed.

    Raises:
        BlockingIOError: another process makes a report in this folder.
        ImportError: jinja2 or matplotlib is not installed.
        FileNotFoundError: an unknown method or dataset.
        OSError: the folder cannot be written.
    """
    _check_packages()
    jobs = report_jobs(plan)  # an error of the plan leaves no folder
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock", "report", place):
        view = measured_view(plan, jobs, CellStore(place / "cells"), again, log, run)
        document = document_of(view, command)
        _write(document, place)
    return view.failed()


def measured_view(
    plan: ReportPlan,
    jobs: Sequence[CellJob],
    store: CellStore,
    again: bool = False,
    log: Log = lambda line: None,
    run: Run = in_own_process,
) -> ReportView:
    """Cells of a plan; those of examples are chosen once the accuracy of all images is known.

    Args:
        plan: plan.
        jobs: cells of the plan without those of examples, see `report_jobs`.
        store: files of the cells.
        again: True to measure cells that have a file already.
        log: callback for lines of progress.
        run: function that measures one cell.
    """
    cells = measure_cells(jobs, store, again, log, run)
    real_names = cost_names(plan)[1] if plan.categories else 0
    view = ReportView(plan, cells, real_names)
    examples: list[CellJob] = []
    for data in plan.datasets if plan.examples else ():
        ranked = [each.cell for each in rank_methods(view, data)]
        if ranked:
            best, worst = choose_examples(ranked, plan.examples)
            examples += example_jobs(plan, data, sorted({*best, *worst}))
    view.cells = [*cells, *measure_cells(examples, store, again, log, run)]
    return view


def document_of(view: ReportView, command: str) -> Document:
    """Content of the report."""
    plan = view.plan
    sections = [summary_section(view), tradeoff_section(view), table_section(view)]
    if plan.categories:
        sections.append(growth_section(view))
    sections += [categories_section(view), confusion_section(view)]
    if plan.ablations:
        sections.append(ablations_section(view))
    if plan.examples:
        sections.append(examples_section(view))
    sections.append(published_section(view))
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    made: Section = made_section(view, command, date, sections)
    filed = " and rows of ablations that name result files" * any(g.results for g in plan.ablations)
    lead = (
        f"{len(plan.methods)} methods on {', '.join(plan.datasets)}, {plan.images:,} images each. "
        f"One command measured every number below, except published ones{filed}."
    )
    return Document(plan.title, lead, (*sections, made))


def _write(document: Document, place: Path) -> None:
    for figure in document.figures():
        write_text(place / figure_file(figure), figure.svg, durable=False)
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Examples) and block.rows:
                content = example_sheet(block)
                write_atomic(place / example_file(block), partial(_fill, content), durable=False)
    write_text(place / "report.md", markdown_page(document))
    write_text(place / "report.html", html_page(document))


def _fill(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _check_packages() -> None:
    """Raises an error before hours of work, if a package for the page is missing."""
    for name in ("jinja2", "matplotlib"):
        try:
            __import__(name)
        except ImportError:
            raise ImportError(
                f"A report needs {name}. Install it with: pip install 'ovss[report]'"
            ) from None

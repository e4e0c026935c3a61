"""Comparison table: one row per method and protocol, one column per dataset.

Published results are in separate columns. A cell holds a result for exactly the method, protocol
and weights of its row and the images and labels of its column. Combinations that were not
evaluated are empty.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ovss.io.hashing import short_hash
from ovss.models.config_text import read_config_text
from ovss.models.parts import is_upper_bound
from ovss.protocols.protocol import ABSENT

from .figures import EDITED
from .published import Published, PublishedRow, load_published
from .result_file import Result, ResultError

MATCHING, ALL, NONE = "matching", "all", "none"
_USUAL = 5
"""Number of published columns that every comparison shows."""


@dataclass(frozen=True)
class Measured:
    """Value measured with this code, and the result it comes from."""

    file: str
    result: Result
    value: float | None


@dataclass(frozen=True)
class Quote:
    """Published value; `mark` refers to its source."""

    value: float
    mark: str


@dataclass(frozen=True)
class Column:
    """Dataset; all cells of a column were evaluated on the same images and labels."""

    name: str
    label: str
    images: int | None = None
    census: str = ""


@dataclass(frozen=True)
class Line:
    """Method under a protocol, with its weights; the protocol is empty if nothing was measured."""

    method: str
    protocol: str
    measured: tuple[Measured | None, ...]
    published: tuple[tuple[Quote, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Content of a table, independent of its format.

    Args:
        metric: metric in the cells, in percent.
        columns: columns of measured values.
        published: columns of published values.
        lines: rows of the table.
        sources: citation of published values, by mark.
        notes: remarks needed to compare the values.
    """

    metric: str
    columns: tuple[Column, ...]
    published: tuple[Column, ...]
    lines: tuple[Line, ...]
    sources: dict[str, str]
    notes: tuple[str, ...]

    def measured(self) -> list[Measured]:
        """All measured cells, row by row."""
        return [cell for line in self.lines for cell in line.measured if cell is not None]

    @property
    def caption(self) -> str:
        """Sentence that explains the cells."""
        means = {name: text.partition(";")[0] for name, text in ABSENT.values()}
        over = f", mean over {means[self.metric]}" if self.metric in means else ""
        return f"{self.metric} in percent{over}. Empty cells were not evaluated."


def make_grid(
    results: Sequence[tuple[str, Result]], metric: str = "mIoU", published: str = MATCHING
) -> Grid:
    """Builds the comparison table.

    Args:
        results: pairs of file name and result.
        metric: name of the metric to show.
        published: published values to include: ``matching`` for the evaluated methods, ``all``
            for every method, or ``none``.

    Raises:
        ValueError: a result lacks the metric.
    """
    for file, result in results:
        if metric not in result.metrics:
            raise ValueError(
                f"{file} has no metric {metric!r}. Choose one of {', '.join(result.metrics)}"
            )
    known = load_published()
    show = published if metric == "mIoU" else NONE
    columns = _columns([result for _, result in results], known, show == ALL)
    visible = {column.name for column in columns} if show != NONE else set()
    papers = tuple(Column(name, label) for name, label in known.columns.items() if name in visible)
    marks: dict[str, str] = {}
    groups = _groups(results)
    lines = [_line(group, columns, papers, known, marks, metric) for group in groups]
    papers_used = {quote for line in lines for cell in line.published for quote in cell}
    if show == ALL:
        run = {result.config_name for _, result in results}
        rest = [row for row in known.rows if not run & set(row.configs)]
        lines += [_quoted_line(row, columns, papers, marks) for row in rest]
    elif not papers_used:
        papers, lines = (), [Line(x.method, x.protocol, x.measured, ()) for x in lines]
    sources = {mark: known.sources[source] for source, mark in marks.items()}
    notes = _notes(results, groups, columns)
    if published != NONE and show == NONE:
        notes.append(f"published results are mIoU only, so none are shown for {metric}")
    return Grid(metric, columns, papers, tuple(lines), sources, tuple(notes))


def _columns(results: Sequence[Result], known: Published, every: bool) -> tuple[Column, ...]:
    """Benchmarks in the order of papers, then other datasets in the order of the results."""
    datasets = dict.fromkeys((r.data.name, r.data.images, r.data.census) for r in results)
    names = [name for name, _, _ in datasets]
    benchmarks = list(known.columns)
    if every or any(name in known.columns for name in names):
        visible = [n for i, n in enumerate(benchmarks) if i < _USUAL or every or n in names]
    else:
        visible = []
    columns = []
    for name in dict.fromkeys((*visible, *names)):
        label = known.columns.get(name, name)
        variants = [each for each in datasets if each[0] == name]
        if not variants:
            columns.append(Column(name, label))
        for _, images, census in variants:
            same_size = [each for each in variants if each[1] == images]
            usual = known.images.get(name, images)
            suffix = f" ({images:,} images)" if len(variants) > 1 or images != usual else ""
            suffix += f" labels {census[:6]}" if len(same_size) > 1 else ""
            columns.append(Column(name, label + suffix, images, census))
    return tuple(columns)


def _model(file: str, result: Result) -> str:
    """Hash of the model's settings, except those of the protocol and paths of files."""
    model = _model_block(file, result)
    parts = {key: value for key, value in model.items() if key not in ("prompts", "inference")}
    return short_hash(_without(parts, "pretrained"))


def _model_block(file: str, result: Result) -> dict[str, Any]:
    """Block ``model`` of the recorded config."""
    try:
        model = read_config_text(result.config, file).to_dict().get("model", {})
    except (RecursionError, MemoryError):
        model = None  # brackets or signs nest more deeply than Python's parser can go
    if not isinstance(model, dict):
        raise ResultError(f"The config in {file} has no block 'model'. {EDITED}")
    return model


def _without(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without(each, key) for name, each in value.items() if name != key}


class _Key(NamedTuple):
    """Identity of a row; results that differ in any field are in different rows."""

    config: str
    how: str
    weights: str
    model: str


@dataclass(frozen=True)
class _Group:
    """Results of one method with the same settings, protocol and weights."""

    config: str
    label: str
    protocol: str
    results: list[tuple[str, Result]]


def _groups(results: Iterable[tuple[str, Result]]) -> list[_Group]:
    by_key: dict[_Key, list[tuple[str, Result]]] = {}
    for file, result in results:
        weights = result.weights.sha256 or result.weights.model_sha256
        key = _Key(result.config_name, result.protocol.method_hash, weights, _model(file, result))
        by_key.setdefault(key, []).append((file, result))
    names = {key: group[0][1].protocol.name for key, group in by_key.items()}
    groups = []
    for key, group in by_key.items():
        others = [other for other in by_key if other != key and other.config == key.config]
        same_name = any(names[other] == names[key] and other.how != key.how for other in others)
        details = [f"weights {key.weights[:8]}"] * any(x.weights != key.weights for x in others)
        details += [f"settings {key.model[:6]}"] * any(x.model != key.model for x in others)
        details += ["upper bound"] * is_upper_bound(_model_block(*group[0]))
        groups.append(
            _Group(
                key.config,
                f"{key.config} ({', '.join(details)})" if details else key.config,
                f"{names[key]} #{key.how[:6]}" if same_name else names[key],
                group,
            )
        )
    return groups


def _line(
    group: _Group,
    columns: Sequence[Column],
    papers: Sequence[Column],
    known: Published,
    marks: dict[str, str],
    metric: str,
) -> Line:
    cells: list[Measured | None] = []
    for column in columns:
        here = [each for each in group.results if _is_of(each[1], column)]
        newest = max(here, key=lambda each: each[1].run.ended, default=None)
        cells.append(newest and Measured(*newest, newest[1].metrics[metric]))
    quotes = _quotes(known.of(group.config), papers, marks)
    return Line(group.label, group.protocol, tuple(cells), quotes)


def _is_of(result: Result, column: Column) -> bool:
    data = result.data
    return (data.name, data.images, data.census) == (column.name, column.images, column.census)


def _quoted_line(
    row: PublishedRow, columns: Sequence[Column], papers: Sequence[Column], marks: dict[str, str]
) -> Line:
    name = f"{row.method} {row.backbone}".strip()
    return Line(name, "", (None,) * len(columns), _quotes([row], papers, marks))


def _quotes(
    rows: Sequence[PublishedRow], papers: Sequence[Column], marks: dict[str, str]
) -> tuple[tuple[Quote, ...], ...]:
    def mark(source: str) -> str:
        return marks.setdefault(source, string.ascii_lowercase[len(marks)])

    return tuple(
        tuple(
            Quote(row.miou[column.name], mark(row.source))
            for row in rows
            if column.name in row.miou
        )
        for column in papers
    )


def _notes(
    results: Sequence[tuple[str, Result]], groups: Sequence[_Group], columns: Sequence[Column]
) -> list[str]:
    notes = []
    for column in columns:
        here = [each for each in results if _is_of(each[1], column)]
        if len({result.protocol.method_hash for _, result in here}) > 1:
            names = dict.fromkeys(result.protocol.name for _, result in here)
            notes.append(
                f"{column.label}: measured under different protocols ({'; '.join(names)}), so the "
                f"results do not compare methods alone"
            )
        if len({short_hash(result.protocol.fields.get("data")) for _, result in here}) > 1:
            notes.append(
                f"{column.label}: queried names, seen classes or label rules differ between rows"
            )
        notes += _repeated(groups, column)
        usual = load_published().images.get(column.name)
        if here and usual not in (None, column.images):
            notes.append(f"{column.label}: published results are on {usual:,} images")
    quoted = sorted({result.headline for _, result in results})
    if len(quoted) > 1:
        notes.append(f"the protocols quote different metrics: {', '.join(quoted)}")
    return notes


def _repeated(groups: Sequence[_Group], column: Column) -> list[str]:
    notes = []
    for group in groups:
        files = [file for file, result in group.results if _is_of(result, column)]
        if len(files) > 1:
            summary = f"{len(files)} results of {group.label}, the newest is shown"
            notes.append(f"{column.label}: {summary} ({', '.join(files)})")
    return notes

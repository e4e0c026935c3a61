"""Results side by side: methods down, data sets across, what is published apart from what was run.

A cell is a figure only of the method, protocol and weights of its row and the pictures and labels
of its column; a cell that nobody ran is empty.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ovss.io.hashing import short_hash
from ovss.protocols.protocol import ABSENT

from .config_text import read_config_text
from .published import Published, PublishedRow, load_published
from .result_file import Result

MATCHING, ALL, NONE = "matching", "all", "none"
_USUAL = 5
"""So many of the published columns belong to every comparison."""


@dataclass(frozen=True)
class Measured:
    """A figure that this code measured, with all that its file says."""

    file: str
    result: Result
    value: float | None


@dataclass(frozen=True)
class Quote:
    """A published figure; `mark` leads to its source."""

    value: float
    mark: str


@dataclass(frozen=True)
class Column:
    """A data set: the same pictures with the same labels all the way down."""

    name: str
    label: str
    pictures: int | None = None
    census: str = ""


@dataclass(frozen=True)
class Line:
    """A method under a protocol, with its weights; empty protocol: nothing of it was run."""

    method: str
    protocol: str
    measured: tuple[Measured | None, ...]
    published: tuple[tuple[Quote, ...], ...]


@dataclass(frozen=True)
class Grid:
    """A table before it is text.

    Args:
        metric: that the cells show, in percent.
        columns: of measured figures. published: of published ones.
        sources: mark -> where published figures stand.
        notes: what must be known to compare.
    """

    metric: str
    columns: tuple[Column, ...]
    published: tuple[Column, ...]
    lines: tuple[Line, ...]
    sources: dict[str, str]
    notes: tuple[str, ...]

    def measured(self) -> list[Measured]:
        """Every measured cell, row by row."""
        return [cell for line in self.lines for cell in line.measured if cell is not None]

    @property
    def caption(self) -> str:
        """What the cells are."""
        means = {name: text.partition(";")[0] for name, text in ABSENT.values()}
        over = f", mean over {means[self.metric]}" if self.metric in means else ""
        return f"{self.metric} in percent{over}. Empty: not run."


def make_grid(
    results: Sequence[tuple[str, Result]], metric: str = "mIoU", published: str = MATCHING
) -> Grid:
    """Lay results out.

    Args:
        results: (file, its content).
        metric: of the results.
        published: ``matching``: published figures of the methods that were run; ``all``: of every
            method; ``none``.

    Raises:
        ValueError: a result without that metric.
    """
    for file, result in results:
        if metric not in result.metrics:
            raise ValueError(f"{file} has no metric {metric!r}: {', '.join(result.metrics)}")
    known = load_published()
    show = published if metric == "mIoU" else NONE
    columns = _columns([result for _, result in results], known, show == ALL)
    shown = {column.name for column in columns} if show != NONE else set()
    papers = tuple(Column(name, label) for name, label in known.columns.items() if name in shown)
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
        notes.append(f"published figures are mIoU: none of {metric} is shown")
    return Grid(metric, columns, papers, tuple(lines), sources, tuple(notes))


def _columns(results: Sequence[Result], known: Published, every: bool) -> tuple[Column, ...]:
    """Benchmarks in the order of papers, then others as they come."""
    facts = dict.fromkeys((r.data.name, r.data.pictures, r.data.census) for r in results)
    names = [name for name, _, _ in facts]
    benchmarks = list(known.columns)
    if every or any(name in known.columns for name in names):
        shown = [n for i, n in enumerate(benchmarks) if i < _USUAL or every or n in names]
    else:
        shown = []
    found = []
    for name in dict.fromkeys((*shown, *names)):
        label = known.columns.get(name, name)
        sets = [each for each in facts if each[0] == name]
        if not sets:
            found.append(Column(name, label))
        for _, pictures, census in sets:
            same_size = [each for each in sets if each[1] == pictures]
            usual = known.pictures.get(name, pictures)
            told = f" ({pictures:,} pictures)" if len(sets) > 1 or pictures != usual else ""
            told += f" labels {census[:6]}" if len(same_size) > 1 else ""
            found.append(Column(name, label + told, pictures, census))
    return tuple(found)


def _model(file: str, result: Result) -> str:
    """Hash of the model's settings, without what the protocol says and where files are."""
    model = read_config_text(result.config, file).to_dict().get("model", {})
    parts = {key: value for key, value in model.items() if key not in ("prompts", "inference")}
    return short_hash(_without(parts, "pretrained"))


def _without(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without(each, key) for name, each in value.items() if name != key}


class _Key(NamedTuple):
    """Whose figure a cell is: another of any of these is another row."""

    config: str
    how: str
    weights: str
    model: str


@dataclass(frozen=True)
class _Group:
    """Results of one method, set up in one way, under one protocol with one set of weights."""

    config: str
    label: str
    protocol: str
    results: list[tuple[str, Result]]


def _groups(results: Iterable[tuple[str, Result]]) -> list[_Group]:
    found: dict[_Key, list[tuple[str, Result]]] = {}
    for file, result in results:
        weights = result.weights.sha256 or result.weights.model_sha256
        key = _Key(result.config_name, result.protocol.method_hash, weights, _model(file, result))
        found.setdefault(key, []).append((file, result))
    names = {key: group[0][1].protocol.name for key, group in found.items()}
    groups = []
    for key, group in found.items():
        others = [other for other in found if other != key and other.config == key.config]
        alike = any(names[other] == names[key] and other.how != key.how for other in others)
        told = [f"weights {key.weights[:8]}"] * any(x.weights != key.weights for x in others)
        told += [f"settings {key.model[:6]}"] * any(x.model != key.model for x in others)
        groups.append(
            _Group(
                key.config,
                f"{key.config} ({', '.join(told)})" if told else key.config,
                f"{names[key]} #{key.how[:6]}" if alike else names[key],
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
    return (data.name, data.pictures, data.census) == (column.name, column.pictures, column.census)


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
                f"{column.label}: measured under different protocols ({'; '.join(names)}): such "
                f"figures do not compare methods alone"
            )
        if len({short_hash(result.protocol.fields.get("data")) for _, result in here}) > 1:
            notes.append(f"{column.label}: words, seen classes or label rules differ between rows")
        notes += _repeated(groups, column)
        usual = load_published().pictures.get(column.name)
        if here and usual not in (None, column.pictures):
            notes.append(f"{column.label}: published figures are of {usual:,} pictures")
    quoted = sorted({result.headline for _, result in results})
    if len(quoted) > 1:
        notes.append(f"the protocols quote different figures: {', '.join(quoted)}")
    return notes


def _repeated(groups: Sequence[_Group], column: Column) -> list[str]:
    notes = []
    for group in groups:
        files = [file for file, result in group.results if _is_of(result, column)]
        if len(files) > 1:
            told = f"{len(files)} results of {group.label}, the newest is shown"
            notes.append(f"{column.label}: {told} ({', '.join(files)})")
    return notes

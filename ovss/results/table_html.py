"""Comparison table as a self-contained HTML page, without scripts or network access."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ovss.io.text import visible

from .published import load_published
from .table import Grid, Line, Measured
from .table_markdown import DETAILS, details, number

STYLE = """
:root { color-scheme: light dark; --line: #d4d9e0; --soft: #f4f6f9; --quiet: #5b6675;
  --ink: #17202b; --paper: #ffffff; --ours: #e9f2ea; --theirs: #f6f1e4; --bar: #9dbfa3; }
@media (prefers-color-scheme: dark) { :root { --line: #3a424d; --soft: #1f252d; --quiet: #9aa5b4;
  --ink: #e6eaf0; --paper: #14181d; --ours: #1d2f22; --theirs: #332b17; --bar: #3f6b48; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p, li, .quiet { color: var(--quiet); } li { margin: .15rem 0; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { background: var(--soft); font-weight: 600; } tbody tr:last-child td { border-bottom: 0; }
th.word, td.word { text-align: left; } td.long { white-space: normal; min-width: 11rem; }
th.ours, td.ours { background: var(--ours); } th.theirs, td.theirs { background: var(--theirs); }
th.group { text-align: center; } td.ours.none { background: none; }
.best { font-weight: 700; } sup { color: var(--quiet); line-height: 0; }
details { margin: .4rem 0; } summary { cursor: pointer; }
.share { background: linear-gradient(to right, var(--bar) var(--part), transparent var(--part)); }
code { font-size: .92em; }
"""


def as_html(grid: Grid, studies: bool = False) -> str:
    """HTML page: results, sources, notes, details of each measurement, IoU of every category."""
    measured = grid.measured()
    body = [
        "<h1>Results</h1>",
        f"<p>{html_text(grid.caption)} Hover over a result to see its source.</p>",
        _main_table(grid),
        _list("Published results", [f"[{mark}] {text}" for mark, text in grid.sources.items()]),
        _list("Notes", grid.notes),
    ]
    if measured:
        body += ["<h2>Details of each measurement</h2>", _details_table(measured)]
        body += ["<h2>Categories</h2>", *(_categories(cell) for cell in measured)]
    if studies:
        body += _studies()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Results</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def html_text(text: str) -> str:
    r"""Text of a page or of an attribute on one line, in which nothing is a tag.

    >>> html_text("<b>\n")
    '&lt;b&gt;\\n'
    """
    return escape(visible(text))


def _main_table(grid: Grid) -> str:
    groups = '<th class="word" rowspan="2">method</th><th class="word" rowspan="2">protocol</th>'
    if grid.columns:
        groups += f'<th class="group ours" colspan="{len(grid.columns)}">measured here</th>'
    if grid.published:
        groups += f'<th class="group theirs" colspan="{len(grid.published)}">published</th>'
    names = [f'<th class="ours">{html_text(column.label)}</th>' for column in grid.columns]
    names += [f'<th class="theirs">{html_text(column.label)}</th>' for column in grid.published]
    best = [_best(grid.lines, index) for index in range(len(grid.columns))]
    rows = "\n".join(f"<tr>{_row(line, best)}</tr>" for line in grid.lines)
    return (
        f'<div class="wide"><table>\n<thead><tr>{groups}</tr>\n<tr>{"".join(names)}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _best(lines: Sequence[Line], index: int) -> float | None:
    """Highest value of a column; None unless several rows share one protocol."""
    cells = [(line.protocol, line.measured[index]) for line in lines]
    values = [(protocol, cell.value) for protocol, cell in cells if cell and cell.value is not None]
    is_comparable = len(values) > 1 and len({protocol for protocol, _ in values}) == 1
    return max(value for _, value in values) if is_comparable else None


def _row(line: Line, best: Sequence[float | None]) -> str:
    cells = [f'<td class="word">{html_text(line.method)}</td>']
    cells.append(f'<td class="word long">{html_text(line.protocol)}</td>')
    for cell, top in zip(line.measured, best):
        if cell is None:
            cells.append('<td class="ours none"></td>')
            continue
        kind = "ours best" if top is not None and cell.value == top else "ours"
        title = html_text(_origin(cell))
        cells.append(f'<td class="{kind}" title="{title}">{number(cell.value, 1)}</td>')
    for quotes in line.published:
        values = [f"{quote.value:.1f}<sup>{html_text(quote.mark)}</sup>" for quote in quotes]
        cells.append(f'<td class="theirs">{"; ".join(values)}</td>')
    return "".join(cells)


def _origin(cell: Measured) -> str:
    result = cell.result
    return (
        f"{cell.file}: {result.data.images:,} images of {result.data.name}, protocol "
        f"{result.protocol.name} (method hash {result.protocol.method_hash}, full hash "
        f"{result.protocol.full_hash}), weights "
        f"{(result.weights.sha256 or 'none')[:12]}, {result.run.ended}"
    )


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    inner = "\n".join(f"<li>{html_text(item)}</li>" for item in items)
    return f"<h2>{html_text(title)}</h2>\n<ul>\n{inner}\n</ul>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int]) -> str:
    """HTML table; `texts` are the columns aligned to the left."""

    def cell(kind: str, index: int, text: str) -> str:
        style = ' class="word"' if index in texts else ""
        return f"<{kind}{style}>{html_text(text)}</{kind}>"

    head = "".join(cell("th", index, text) for index, text in enumerate(header))
    body = "\n".join(
        "<tr>" + "".join(cell("td", index, text) for index, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        f"</tbody></table></div>"
    )


def _details_table(measured: Sequence[Measured]) -> str:
    texts = [0, 1, *range(DETAILS.index("device"), len(DETAILS))]
    return _table(DETAILS, [details(cell) for cell in measured], texts)


def _categories(cell: Measured) -> str:
    """Collapsible table with the IoU of every category that occurs, the best first."""
    result = cell.result
    occurring = [
        (name, row) for name, row in result.categories.items() if row.get("iou") is not None
    ]
    occurring.sort(key=lambda each: -each[1]["iou"])
    rows = "\n".join(
        f'<tr><td class="word">{html_text(name)}</td>'
        f'<td class="word">{"seen" if row.get("seen") else "unseen"}</td>'
        f'<td class="share" style="--part: {row["iou"]:.1f}%">{row["iou"]:.2f}</td>'
        f"<td>{number(row.get('accuracy'), 2)}</td><td>{row.get('pixels', 0):,}</td></tr>"
        for name, row in occurring
    )
    title = (
        f"{result.config_name} on {result.data.name}: {len(occurring)} of {len(result.categories)}"
    )
    head = '<th class="word">category</th><th class="word"></th><th>IoU</th><th>accuracy</th>'
    return (
        f"<details><summary>{html_text(title)} categories</summary>\n"
        f'<div class="wide"><table><thead><tr>{head}<th>true pixels</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div></details>"
    )


def _studies() -> list[str]:
    known = load_published()
    parts = []
    for study in known.studies:
        rows = [[name, *(number(value, None) for value in values)] for name, values in study.rows]
        title = f"Published, {known.study_source}, table {study.number}: {study.title}"
        parts += [f"<h2>{html_text(title)}</h2>", _table(("", *study.columns), rows, [0])]
        parts += [f"<p>{html_text(study.note)}</p>"] if study.note else []
    return parts

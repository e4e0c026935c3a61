"""Writes `docs/zoo.md`: every published method with its results, and what of it runs here.

    .venv/bin/python tools/zoo.py

Facts are in `ovss/results/zoo.json`, results in `ovss/results/published.json`, and the rest is
read from the bundled configs. A test compares the page with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from ovss.models.configs import read_config, shipped_configs
from ovss.results.published import PublishedRow, load_published
from ovss.results.zoo import FAMILIES, PARITY, ZooMethod, load_zoo, method_of, weights_state

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "zoo.md"
TRAINED = ("ade20k_847", "pascal_context_459", "ade20k_150", "pascal_context_59", "pascal_voc_20",
           "pascal_voc_20b")  # fmt: skip
EIGHT = ("pascal_voc_21", "pascal_context_60", "coco_object", "pascal_voc_20", "cityscapes",
         "pascal_context_59", "ade20k_150", "coco_stuff_171")  # fmt: skip
"""Datasets of the mean that papers on training-free methods quote."""
LARGE = ("ade20k_847", "pascal_context_459")

_INTRO = """# Zoo

Every published method that we know of, what its authors and others report, and what of it you can
run here. The page is made by `python tools/zoo.py` from the configs and from two files,
[zoo.json](../ovss/results/zoo.json) and [published.json](../ovss/results/published.json).
`ovss list methods` shows the configs in your terminal, and [which method should I
use?](which_method.md) helps to choose.

**All numbers on this page are published ones: mIoU in percent, as the named source prints it.**
None was measured with this code; [what we measured](mini_world_table.md) is on another page. Rows
of different sources may use other synonyms, splits or sizes, so small differences mean little.
"""


def page() -> str:
    """Text of the page."""
    rows = [(row, load_zoo()[row.method]) for row in load_published().rows]
    trained = [(row, method) for row, method in rows if not _is_training_free(row)]
    free = [(row, method) for row, method in rows if _is_training_free(row)]
    sections = [_INTRO, _legend()]
    for size, title in (("base", "Base size"), ("large", "Large size")):
        chosen = [each for each in trained if each[0].size == size]
        sections.append(f"## {title}\n\n{_results(chosen, TRAINED)}")
    sections.append(
        "## Without training\n\n"
        "Sources report more datasets here, with and without a background. The mean is over the "
        "eight in front, where all are reported. Three rows need labels or captions after all, as "
        "the table of methods says.\n\n" + _results(free, (*EIGHT, *LARGE), EIGHT)
    )
    sections += [_sources(rows), _methods(), _configs()]
    return "\n".join(sections)


def _is_training_free(row: PublishedRow) -> bool:
    return bool(set(row.miou) - set(TRAINED))


def _legend() -> str:
    lines = ["Parity is how far the equality with the authors' code was checked:", ""]
    lines += [f"- **{level}**: {meaning}." for level, meaning in PARITY.items()]
    lines += [
        "",
        "Weights are `bundled`, `convertible` (`ovss convert` reads the authors' file), "
        "`downloadable` (open_clip or timm load all that is needed), `by hand` (you get them from "
        "their authors) or `none` (train it).",
    ]
    return "\n".join(lines) + "\n"


def _results(
    rows: Sequence[tuple[PublishedRow, ZooMethod]],
    columns: Sequence[str],
    averaged: Sequence[str] = (),
) -> str:
    labels = load_published().columns
    titles = ["method", "backbone", *(labels[column] for column in columns)]
    titles += ["mean of 8"] * bool(averaged) + ["source", "runs here as", "parity", "weights"]
    marks = _marks()
    lines = []
    for row, method in rows:
        values = [f"{row.miou[each]:.1f}" if each in row.miou else "" for each in columns]
        if averaged:
            complete = all(each in row.miou for each in averaged)
            values.append(f"{mean(row.miou[each] for each in averaged):.1f}" if complete else "")
        configs = _configs_of(row)
        states = dict.fromkeys(_state(config) for config in configs)
        lines.append(
            [
                row.method,
                row.backbone,
                *values,
                str(marks[row.source]),
                ", ".join(f"`{config}`" for config in configs) or "no",
                method.parity or "" if configs else "",
                ", ".join(states),
            ]
        )
    return _table(titles, lines)


def _configs_of(row: PublishedRow) -> tuple[str, ...]:
    """Configs of a row; a row that repeats a result of its authors names none itself."""
    model = (row.method, row.backbone, row.size)
    others = load_published().rows
    same = (other for other in others if (other.method, other.backbone, other.size) == model)
    return row.configs or next((other.configs for other in same if other.configs), ())


def _marks() -> dict[str, int]:
    return {source: i for i, source in enumerate(load_published().sources, 1)}


def _state(config: str) -> str:
    path = shipped_configs()[config]
    return weights_state(path, read_config(path).get("weights"))


def _sources(rows: Iterable[tuple[PublishedRow, ZooMethod]]) -> str:
    used = {row.source for row, _ in rows}
    known = load_published().sources
    return "## Sources\n\n" + "".join(
        f"{mark}. {known[source]}\n" for source, mark in _marks().items() if source in used
    )


def _methods() -> str:
    lines = []
    for method in load_zoo().values():
        plugin = f"[yes](../plugins/{method.plugin}/README.md)" if method.plugin else "no"
        lines.append(
            [
                method.name,
                method.venue,
                f"[{method.paper}](https://arxiv.org/abs/{method.paper})" if method.paper else "",
                method.family,
                method.training,
                _code(method),
                method.license or "",
                plugin,
                _parity(method),
                method.note or "",
            ]
        )
    titles = ["method", "venue", "arXiv", "family", "trained with", "authors' code", "its license",
              "here", "parity", "note"]  # fmt: skip
    families = "; ".join(f"{name}: {meaning}" for name, meaning in FAMILIES.items())
    return f"## Methods\n\nFamilies: {families}.\n\n{_table(titles, lines)}"


def _code(method: ZooMethod) -> str:
    if method.code is None:
        return "none known"
    link = f"[{method.code}](https://github.com/{method.code})"
    return f"{link} @ `{method.commit}`" if method.commit else link


def _parity(method: ZooMethod) -> str:
    if method.parity is None:
        return ""
    links = ", ".join(f"[test](../{test})" for test in method.tests)
    return f"{method.parity} ({links})" if links else method.parity


def _configs() -> str:
    lines = []
    for name, path in shipped_configs().items():
        method = method_of(path)
        lines.append(
            [
                f"[`{name}`](../configs/{path.parent.name}/{path.name})",
                method.name if method else "a composition of this project",
                _state(name),
            ]
        )
    return f"## Configs\n\n{_table(['config', 'published as', 'weights'], lines)}"


def _table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

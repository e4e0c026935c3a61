"""What the page of a method has in addition to the README of its plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovss.results.published import PublishedRow, load_published
from ovss.results.zoo import PARITY, ZooMethod

from .configs import components, configs_of, figure_config, methods_of, parts_of, plugin_of
from .options import component_section

_STATES = {
    "bundled": "part of the package",
    "convertible": "`ovss convert` reads the authors' file",
    "downloadable": "open_clip or timm load all that is needed",
    "by hand": "you get them from their authors",
    "none": "train it",
}


def with_figure(text: str, plugin: str) -> str:
    """Text of a README with the figure of its components behind the first heading."""
    config = figure_config(plugin)
    if config is None:
        return text
    head, _, rest = text.partition("\n")
    figure = (
        f"![Components of `{config.name}`](../../docs/images/methods/{plugin}.svg)\n\n"
        f"*Components of `{config.name}`. Coloured: of this plugin. Grey: shared with other "
        "methods.*\n"
    )
    return f"{head}\n\n{figure}{rest}"


def generated_sections(plugin: str) -> str:
    """Sections that are made from the code: configs, options, published results, licences."""
    sections = [_configs(plugin), _options(plugin), _published(plugin), _licences(plugin)]
    return "".join(f"\n{section}" for section in sections if section)


def _configs(plugin: str) -> str:
    rows = [
        [
            f"[`{config.name}`](../../configs/{plugin}/{config.path.name})",
            config.method.name if config.method else "a composition of this project",
            f"{config.state}: {_STATES[config.state]}",
        ]
        for config in configs_of(plugin)
    ]
    if not rows:
        return ""
    return f"## All configs\n\n{_table(['config', 'published as', 'weights'], rows)}"


def _options(plugin: str) -> str:
    own = [
        component_section(cls, registry.name)
        for registry, _, cls in components()
        if plugin_of(cls) == plugin
    ]
    shared = sorted(set(_shared(plugin)))
    text = "## Options\n\nFrom the signatures and docstrings of the components. "
    if shared:
        names = {name: cls.__name__ for _, name, cls in components()}
        links = ", ".join(
            f"[`{name}`](../../docs/api/components.md#{names[name].lower()})" for name in shared
        )
        text += f"Options of the shared parts are in the API reference: {links}."
    return "\n".join([text.rstrip() + "\n", *own])


def _shared(plugin: str) -> Iterator[str]:
    core = {name for _, name, cls in components() if plugin_of(cls) is None}
    for config in configs_of(plugin):
        for part in parts_of(config.model).values():
            yield from (name for name in (part.name, *part.inside) if name in core)
        loss = (config.model.get("criterion") or {}).get("type")
        if loss in core:
            yield loss


def _published(plugin: str) -> str:
    names = {method.name for method in methods_of(plugin)}
    rows = [row for row in load_published().rows if row.method in names]
    if not rows:
        return ""
    used = [key for key in load_published().columns if any(key in row.miou for row in rows)]
    labels = [load_published().columns[key] for key in used]
    marks = {source: str(i) for i, source in enumerate(dict.fromkeys(r.source for r in rows), 1)}
    lines = [[row.method, row.backbone, *_values(row, used), marks[row.source]] for row in rows]
    sources = "".join(f"{mark}. {load_published().sources[key]}\n" for key, mark in marks.items())
    return (
        "## Published results\n\nmIoU in percent, as the named source prints it. None was measured "
        "with this code; the [zoo](../../docs/zoo.md) has the same rows of all methods.\n\n"
        f"{_table(['method', 'backbone', *labels, 'source'], lines)}\n{sources}"
    )


def _values(row: PublishedRow, keys: Sequence[str]) -> list[str]:
    return [f"{row.miou[key]:.1f}" if key in row.miou else "" for key in keys]


def _licences(plugin: str) -> str:
    rows = [
        [
            method.name,
            f"[{method.paper}](https://arxiv.org/abs/{method.paper})" if method.paper else "",
            _code(method),
            method.license or "",
            f"{method.parity}: {PARITY[method.parity]}" if method.parity else "",
        ]
        for method in methods_of(plugin)
    ]
    text = (
        "## Licences\n\nThe code of this plugin is under Apache-2.0, as all of `ovss`. Published "
        "checkpoints have the licence of their authors, which may differ from that of their code.\n"
    )
    if not rows:
        return text
    titles = ["method", "paper", "authors' code", "its licence", "equality with that code"]
    return f"{text}\n{_table(titles, rows)}"


def _code(method: ZooMethod) -> str:
    if method.code is None:
        return "none known"
    return f"[{method.code}](https://github.com/{method.code})"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

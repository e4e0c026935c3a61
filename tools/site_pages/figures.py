"""The figure of the framework, and of each method, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .configs import Part, figure_config, parts_of

_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
    "fill:#1f2937}.kind{font-size:13px;fill:#4b5563}.own .kind{fill:#0f5f58}"
    ".name{font-size:17px;font-weight:600}.note{font-size:13px;fill:#4b5563}"
    ".own .note{fill:#0f5f58}rect{fill:#f8fafc;stroke:#94a3b8;stroke-width:1.5}"
    ".own rect{fill:#d5f0ec;stroke:#0f766e;stroke-width:2}.sheet{fill:#fff;stroke:none}"
    ".end{font-size:16px;font-weight:600}"
    "path{fill:none;stroke:#475569;stroke-width:1.8}.tip{fill:#475569;stroke:none}"
)


@dataclass(frozen=True)
class _Place:
    left: int
    top: int
    width: int = 258
    height: int = 92


_PLACES = {
    "encoder": _Place(120, 44),
    "selector": _Place(500, 44),
    "head": _Place(24, 220),
    "decoder": _Place(326, 220),
    "post-processor": _Place(628, 220),
}
_ARROWS = (
    ("M84 74H112", ""),
    ("M84 108H112", ""),
    ("M378 90H492", "features"),
    ("M190 136V212", "features"),
    ("M629 136V172H240V212", "selection"),
    ("M282 266H318", ""),
    ("M584 266H620", ""),
    ("M757 312V340", ""),
)
_WIDEST = 33
"""Characters of a line in a box."""

_LABELS = {2: (436, 80), 3: (154, 180), 4: (440, 162)}
_KINDS = {
    "encoder": ("encoder", "image and names", "into one space"),
    "selector": ("selector", "categories that get", "a mask in this image"),
    "head": ("alignment head", "compares the image", "with the kept categories"),
    "decoder": ("decoder", "masks of the", "kept categories"),
    "post-processor": ("post-processor", "changes the scores", "of all views, merged"),
}


def concepts_figure() -> str:
    """The figure that all methods share, with the job of each part."""
    boxes = {kind: _box(_PLACES[kind], _KINDS[kind], own=False) for kind in _PLACES}
    return _drawing(
        boxes,
        "Five parts of a method",
        "An encoder puts image and names into one space, a selector keeps categories, a head "
        "compares, a decoder draws masks, and a post-processor changes the merged scores.",
    )


def method_figure(plugin: str) -> str | None:
    """The figure with the components of a method; None without a config to draw.

    Components of the plugin are coloured, those that methods share are grey.

    Args:
        plugin: name of the plugin's folder.
    """
    config = figure_config(plugin)
    if config is None:
        return None
    name, parts = config.name, parts_of(config.model)
    boxes = {}
    for kind, place in _PLACES.items():
        part = parts[kind]
        texts = (_KINDS[kind][0], part.name, *_notes(part))
        boxes[kind] = _box(place, texts, own=part.plugin == plugin, is_name=True)
    listing = ", ".join(f"{kind}: {part.name}" for kind, part in parts.items())
    return _drawing(boxes, f"Components of {name}", listing)


def _notes(part: Part) -> list[str]:
    """What a part holds, in at most two lines that fit into its box."""
    lines = [""]
    for name in part.inside or part.options:
        joined = f"{lines[-1]}, {name}" if lines[-1] else name
        if len(joined) <= _WIDEST:
            lines[-1] = joined
        else:
            lines.append(name)
    return lines if len(lines) <= 2 else [lines[0], lines[1][: _WIDEST - 2] + " …"]


def _box(place: _Place, texts: Sequence[str], own: bool, is_name: bool = False) -> str:
    x, y = place.left + place.width / 2, place.top
    kinds = ("kind", "name", "note", "note") if is_name else ("name", "note", "note")
    offsets = (22, 45, 64, 81) if is_name else (26, 52, 75)
    # names of components are wider than the box in the largest size
    size = min(17.0, 400 / len(texts[1])) if is_name else 17.0
    lines = "".join(
        f'<text class="{kind}" x="{x:g}" y="{y + offset}" text-anchor="middle"'
        + (f' style="font-size:{size:.1f}px"' if kind == "name" and size < 17 else "")
        + f">{escape(text)}</text>"
        for kind, text, offset in zip(kinds, texts, offsets)
        if text
    )
    rect = f'<rect x="{place.left}" y="{y}" width="{place.width}" height="{place.height}" rx="10"/>'
    return f'<g class="{"own" if own else "shared"}">{rect}{lines}</g>'


def _drawing(boxes: Mapping[str, str], title: str, description: str) -> str:
    arrows = "".join(_arrow(path) for path, _ in _ARROWS)
    labels = "".join(
        f'<text class="note" x="{x}" y="{y}" text-anchor="middle">{_ARROWS[number][1]}</text>'
        for number, (x, y) in _LABELS.items()
    )
    ends = (
        '<text class="end" x="52" y="79" text-anchor="middle">image</text>'
        '<text class="end" x="50" y="113" text-anchor="middle">names</text>'
        '<text class="end" x="757" y="367" text-anchor="middle">label map</text>'
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 910 380" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"<style>{_STYLE}</style>"
        '<rect class="sheet" width="910" height="380" rx="14"/>'
        f"{arrows}{''.join(boxes.values())}{labels}{ends}</svg>\n"
    )


def _arrow(path: str) -> str:
    """Line with a tip at its end; every line ends to the right or downwards."""
    x, y = _end(path)
    tip = (
        f"M{x} {y - 5}L{x + 8} {y}L{x} {y + 5}Z"
        if path.rfind("H") > path.rfind("V")
        else (f"M{x - 5} {y}L{x} {y + 8}L{x + 5} {y}Z")
    )
    return f'<path d="{path}"/><path class="tip" d="{tip}"/>'


def _end(path: str) -> tuple[int, int]:
    x = y = 0
    for step in path.replace("H", " H").replace("V", " V").removeprefix("M").split(" "):
        if step.startswith("H"):
            x = int(step[1:])
        elif step.startswith("V"):
            y = int(step[1:])
        elif not x:
            x = int(step)
        else:
            y = int(step)
    return x, y

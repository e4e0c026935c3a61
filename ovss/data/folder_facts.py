"""What is said of a folder's classes, put together from its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .class_facts import ClassFacts, read_facts
from .class_file import INNER, ClassFile
from .folder_files import palette_of
from .splits import LayoutError


def all_facts(class_file: ClassFile, records: Sequence[tuple[Path, Any]]) -> ClassFacts:
    """The class file's, completed by its siblings that are of the same classes."""
    facts = class_file.facts
    for path, content in records:
        listed = next((content[key] for key in INNER if key in content), None)
        if listed is not None and _names_in(listed) != class_file.names:
            continue
        facts = facts.completed(read_facts(content, class_file.names, class_file.raw, str(path)))
    return facts


def _names_in(listed: Any) -> tuple[str, ...] | None:
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return tuple(" ".join(name.split()) for name in listed)
    return None


def with_palette(
    facts: ClassFacts, root: Path, mask: Path | None, raw: Sequence[int]
) -> ClassFacts:
    """With the colours of palette.png or of a palette label map, where no others are given."""
    for path in (root / "palette.png", mask):
        if path is not None and path.is_file():
            facts = facts.completed(ClassFacts(colors=palette_of(path, raw)))
    return facts


def are_colors(modes: Counter[str], facts: ClassFacts, class_file: Path) -> bool:
    """Whether label maps tell classes by colour.

    Raises:
        LayoutError: some do and some do not, or there is no palette.
    """
    colored = modes["RGB"] + modes["RGBA"]
    if not colored:
        return False
    if colored < sum(modes.values()):
        raise LayoutError(
            f"{colored} of {sum(modes.values())} label maps are in colour (RGB) and the others are "
            f"not: make them alike"
        )
    if facts.colors is None:
        raise LayoutError(
            f"the label maps are in colour (RGB), and nothing says which colour means what: add "
            f"'palette' to {class_file.with_suffix('.json').name}, or write "
            f'{class_file.with_name("palette.json")}: {{"road": [128, 64, 128], ...}}'
        )
    return True


def ignored_values(facts: ClassFacts, modes: Counter[str], raw: Sequence[int]) -> tuple[int, ...]:
    """Values that mean "not labelled": as written, else the highest of the files' type."""
    if facts.ignored is not None:
        return facts.ignored
    wide = any(mode.startswith("I") for mode in modes)
    return tuple(value for value in ((65535,) if wide else (255,)) if value not in raw)

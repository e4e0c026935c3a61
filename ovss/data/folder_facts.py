"""Facts about the classes of a folder, merged from its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .class_facts import ClassFacts, read_facts
from .class_file import ClassFile
from .class_json import CLASS_LIST_KEYS
from .files import read_label_colors
from .folder_files import palette_of
from .splits import LayoutError

MAX_COLORS = 8  # colours that a message lists


def all_facts(class_file: ClassFile, records: Sequence[tuple[Path, Any]]) -> ClassFacts:
    """Merges the facts of a class file with those of other JSON files about the same classes.

    Args:
        class_file: class file, which takes precedence.
        records: paths and contents of the other JSON files, as returned by `sibling_facts`.
    """
    facts = class_file.facts
    for path, content in records:
        classes = next((content[key] for key in CLASS_LIST_KEYS if key in content), None)
        if classes is not None and _names_in(classes) != class_file.names:
            continue
        other = read_facts(content, class_file.names, class_file.raw, str(path))
        facts = facts.with_defaults(other)
    return facts.with_defaults(class_file.implied)


def _names_in(classes: Any) -> tuple[str, ...] | None:
    if isinstance(classes, list) and all(isinstance(name, str) for name in classes):
        return tuple(" ".join(name.split()) for name in classes)
    return None


def with_palette(
    facts: ClassFacts, root: Path, mask: Path | None, raw: Sequence[int]
) -> ClassFacts:
    """Adds the colours of palette.png or of a label map with a palette if the facts have none.

    Args:
        facts: facts of the class files.
        root: folder of the dataset.
        mask: label map with a palette, or None.
        raw: label values of the classes.
    """
    for path in (root / "palette.png", mask):
        if path is not None and path.is_file():
            facts = facts.with_defaults(ClassFacts(colors=palette_of(path, raw)))
    return facts


def has_color_masks(modes: Counter[str], facts: ClassFacts, class_file: Path, sample: Path) -> bool:
    """Returns True if label maps encode classes as colours.

    Args:
        modes: modes of the label maps, as `compare_sizes` returns them.
        facts: facts about the classes.
        class_file: path of the class file, for messages.
        sample: path of a label map, whose colours a message lists.

    Raises:
        LayoutError: some label maps are in colour and others are not, or no palette is given.
    """
    colored = modes["RGB"] + modes["RGBA"]
    if not colored:
        return False
    if colored < sum(modes.values()):
        raise LayoutError(
            f"Label maps must all be in colour (RGB) or all be indices, but {colored} of "
            f"{sum(modes.values())} label maps are in colour. Convert them to one form"
        )
    if facts.colors is None:
        raise LayoutError(
            f"The label maps are in colour (RGB), but no file states the colours of the classes; "
            f"{sample} has {_colors_in(sample)}. "
            f"Add 'palette' to {class_file.with_suffix('.json').name}, or write "
            f'{class_file.with_name("palette.json")} with {{"road": [128, 64, 128], ...}}'
        )
    return True


def _colors_in(path: Path) -> str:
    """First colours of a label map, as text."""
    colors = np.unique(read_label_colors(path).reshape(-1, 3), axis=0)
    listed = ", ".join(str(color) for color in colors[:MAX_COLORS].tolist())
    return f"{listed} and {len(colors) - MAX_COLORS} more" if len(colors) > MAX_COLORS else listed


def ignored_values(facts: ClassFacts, modes: Counter[str], raw: Sequence[int]) -> tuple[int, ...]:
    """Returns the values that mean "not labelled".

    Default: the largest value of the files' type, and in arrays with wider types also -1 and 255,
    unless it is the value of a class.

    Args:
        facts: facts about the classes; their `ignored` replaces the default.
        modes: modes of the label maps, as `compare_sizes` returns them.
        raw: label values of the classes.
    """
    if facts.ignored is not None:
        return facts.ignored
    wide = any(mode.startswith("I") or mode == "npy uint16" for mode in modes)
    other = any(mode.startswith("npy ") and mode[4:] not in ("uint8", "uint16") for mode in modes)
    values = (-1, 255, 65535) if other else (65535,) if wide else (255,)
    return tuple(value for value in values if value not in raw)


def label_values(class_file: ClassFile, facts: ClassFacts) -> tuple[tuple[int, ...], ClassFacts]:
    """Applies ``reduce_zero_label``: value 0 means "not labelled" and the first class has value 1.

    Args:
        class_file: class file.
        facts: facts about the classes.

    Returns:
        Label values of the classes, and the facts with value 0, and 255 by default, as ignored.

    Raises:
        LayoutError: the class file gives label values as well.
    """
    if not facts.reduce_zero_label:
        return class_file.raw, facts
    if class_file.label_map is not None:
        raise LayoutError(
            f"{class_file.path} gives label values to the classes, so 'reduce_zero_label' has no "
            f"meaning. Remove it, and list values that mean 'not labelled' under 'ignored'"
        )
    raw = tuple(value + 1 for value in class_file.raw)
    ignored = (255,) if facts.ignored is None else facts.ignored
    kept = (value for value in ignored if value not in (0, *raw))
    return raw, replace(facts, ignored=(0, *kept))

"""Reader of your own data: images, their labels in one of several formats, and a class file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ovss.io.excerpts import excerpt
from ovss.io.images import IMAGE_SUFFIXES
from ovss.vocabularies.checks import check_names

from .class_facts import ClassFacts
from .class_file import ClassFile, read_class_file
from .files import MASK_SUFFIXES
from .folder_description import FolderDescription
from .folder_facts import all_facts, has_color_masks, ignored_values, label_values, with_palette
from .folder_files import compare_sizes
from .folder_layout import find_class_file, no_class_file, sibling_facts
from .folder_sources import FolderLayout, find_layout
from .folder_suffixes import Suffixes, find_suffixes, image_suffix_of
from .label_checks import check_labels
from .label_formats import LABEL_MAPS, label_source
from .pairs import files_below, find_pairs, index_images, listed_pairs
from .splits import LayoutError, Split, choose_split, find_splits, is_split, mask_folder_of

Pairs = Sequence[tuple[Path, Path]]


def describe_folder(
    folder: str | Path,
    split: str | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    classes: str | Path | None = None,
    mask_suffix: str | None = None,
    large: bool = False,
) -> FolderDescription:
    """Describes the dataset in a folder; docs/your_data.md shows the accepted layouts.

    Every image is paired with its labels, and the sizes of all label maps are compared. The labels
    of some images, spread over the dataset, are checked.

    Args:
        folder: folder of the dataset.
        split: name of a split such as ``val``; ``all`` for everything.
        images: folder of the images, as a path or below `folder`; None: search by name.
        masks: folder of the label files, or one annotation file, as a path or below `folder`;
            None: search by name.
        classes: class file, as a path or below `folder`; None: search by name.
        mask_suffix: suffix of label files such as ``"_labels.png"``; None: detect it.
        large: True to read images and label maps of any size, see `ImageMaskDataset`.

    Raises:
        FileNotFoundError: a folder, a file, images or label maps are missing.
        LayoutError: the folder can be read in several ways or in none; the message names the
            argument that decides.
        ValueError: a wrong class file, image size or label value.
        ImageError: a label map cannot be read, or has 8 bits where 16 are needed.
    """
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(f"Expected a dataset folder, found {found} at {root}")
    if os.path.realpath(root).endswith(".partial"):
        raise LayoutError(
            f"{root} is incomplete. Run the command that prepares it again to continue"
        )
    class_path = find_class_file(root, classes)
    class_file = None if class_path is None else read_class_file(class_path)
    records = sibling_facts(root, class_path)
    json_files = [*([(class_file.path, class_file.record)] if class_file else []), *records]
    stated = next((r["mask_suffix"] for _, r in json_files if r.get("mask_suffix")), None)
    suffix = mask_suffix or stated
    layout = find_layout(root, images, masks, split, suffix)
    if class_file is None and layout.label_format == LABEL_MAPS and not _class_files(root, layout):
        raise no_class_file(root)
    chosen = None
    if layout.split is None:
        chosen = choose_split(find_splits(root, layout.images, json_files), split, root)
    places = replace(
        layout,
        images=layout.images / chosen.folder if chosen else layout.images,
        labels=mask_folder_of(layout.labels, chosen) if layout.labels.is_dir() else layout.labels,
        split=chosen.name if chosen else layout.split,
    )
    if class_file is None:
        found_path = _class_file_of_parts(root, places)
        class_file = None if found_path is None else read_class_file(found_path)
    suffixes, pairs = _pairs(places, chosen, suffix)
    class_file = class_file or _classes_of_annotations(places, layout.labels, pairs)
    facts = all_facts(class_file, records)
    described, facts = _described(root, places, class_file, facts, suffixes, pairs)
    subset = chosen.subset if chosen else None
    unpaired = 0 if subset else _count_unpaired(places, suffixes, pairs)
    described = replace(described, subset=subset, unpaired=unpaired, large=large)
    return replace(described, notes=check_labels(described, facts))


def _class_file_of_parts(root: Path, places: FolderLayout) -> Path | None:
    """Finds the class file of a dataset that keeps one with the images of each split."""
    folders = [p for p in (places.images, places.labels) if p.is_dir()]
    found = find_class_file(root, None, folders)
    files = _class_files(root, places)
    if found is not None or (places.split is not None and not files):
        return found
    for path in files[1:]:
        if path.read_bytes() != files[0].read_bytes():
            raise LayoutError(
                f"{files[0]} and {path} name different classes. Choose one split, or write one "
                f"class file into {root}"
            )
    return files[0] if files else None


def _class_files(root: Path, places: FolderLayout) -> list[Path]:
    """Lists the class files of images, labels and splits."""
    parts = [p for p in sorted(root.iterdir()) if p.is_dir() and is_split(p.name)]
    folders = [p for p in (places.images, places.labels, *parts) if p.is_dir()]
    found = [find_class_file(folder, None) for folder in dict.fromkeys(folders)]
    return [path for path in found if path is not None]


def _pairs(
    places: FolderLayout, chosen: Split | None, suffix: str | None
) -> tuple[Suffixes, Pairs]:
    """Pairs images with their label files, and detects the ends of file names."""
    subset, where = (chosen.subset, chosen.where) if chosen else (None, "")
    images, labels = places.images, places.labels
    if places.label_format == "coco":
        return Suffixes(""), listed_pairs(images, labels, subset, where)
    paths = index_images(images, subset, where)
    if places.label_format == "supervisely" and not suffix:
        suffixes = Suffixes(".json")
    elif suffix:
        suffixes = Suffixes(suffix, image_suffix_of(paths, images, labels, suffix))
    else:
        types = MASK_SUFFIXES if places.label_format == LABEL_MAPS else {".json"}
        suffixes = find_suffixes(paths, images, labels, types)
    pairs = find_pairs(images, labels, suffixes.mask, subset, where, suffixes.image)
    return suffixes, [(image, label) for image, label in pairs if label is not None]


def _classes_of_annotations(places: FolderLayout, labels: Path, pairs: Pairs) -> ClassFile:
    """Reads the classes that annotation files define; those of all splits if each has its own."""
    source = label_source(places.label_format)
    files = sorted(p for p in files_below(labels) if p.suffix == ".json") if labels.is_dir() else []
    known = {label for _, label in pairs}
    suffix = next(iter(known)).suffix
    every = [path for path in files if path.suffix == suffix] if files else sorted(known)
    found = source.classes(every)
    where = labels if labels.is_file() else places.labels
    names = check_names([each.name for each in found], f"The classes of {where}")
    colors = tuple(each.color for each in found if each.color is not None)
    usable = len(set(colors)) == len(colors) == len(names)
    facts = ClassFacts(colors=colors if usable else None)
    return ClassFile(where, names, tuple(range(len(names))), facts, {})


def _described(
    root: Path,
    places: FolderLayout,
    class_file: ClassFile,
    facts: ClassFacts,
    suffixes: Suffixes,
    pairs: Pairs,
) -> tuple[FolderDescription, ClassFacts]:
    """Describes a dataset whose images, labels and classes are found, without checking labels."""
    is_maps = places.label_format == LABEL_MAPS
    modes: Counter[str] = Counter()
    raw = class_file.raw
    if is_maps:
        if facts.ignored_names:
            raise ValueError(
                f"Ignored values must be integers because {places.labels} has label maps, got "
                f"{excerpt(facts.ignored_names[0])} in the files of {root}. Write values such as "
                f"[255]"
            )
        modes = compare_sizes(pairs)
        raw, facts = label_values(class_file, facts)
        facts = with_palette(facts, root, pairs[0][1] if modes["P"] else None, raw)
    color_masks = is_maps and has_color_masks(modes, facts, class_file.path, pairs[0][1])
    by_value = is_maps and not color_masks
    label_map = {value: index for index, value in enumerate(raw)}
    description = FolderDescription(
        folder=root,
        images=places.images,
        masks=places.labels,
        split=places.split,
        names=class_file.names,
        seen=facts.seen,
        words=facts.words,
        palette=facts.colors,
        color_masks=color_masks,
        label_map=label_map if by_value and raw != tuple(range(len(raw))) else None,
        ignored=ignored_values(facts, modes, raw) if by_value else (),
        ignored_colors=(facts.ignored_colors or ()) if color_masks else (),
        mask_suffix=suffixes.mask,
        subset=None,
        class_file=class_file.path,
        count=len(pairs),
        unpaired=0,
        label_format=places.label_format,
        image_suffix=suffixes.image,
        ignored_names=() if is_maps else facts.ignored_names or (),
    )
    return description, facts


def _count_unpaired(places: FolderLayout, suffixes: Suffixes, pairs: Pairs) -> int:
    """Counts label files without an image, or images that an annotation file lacks."""
    if places.label_format == "coco":
        found = sum(p.suffix.lower() in IMAGE_SUFFIXES for p in files_below(places.images))
    else:
        found = sum(path.name.endswith(suffixes.mask) for path in files_below(places.labels))
    return found - len(pairs)

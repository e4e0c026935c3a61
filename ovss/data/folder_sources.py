"""Search for images and their labels in a dataset folder, in any accepted format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovss.io.advice import advised
from ovss.io.images import IMAGE_SUFFIXES

from .files import MASK_SUFFIXES
from .folder_layout import IMAGE_FOLDERS, MASK_FOLDERS, find_folder, named_folders, resolve
from .folder_suffixes import find_suffixes
from .label_formats import LABEL_MAPS
from .label_formats.coco import CocoAnnotations
from .label_formats.detect import find_annotation, is_coco
from .pairs import files_below, has_files, index_images
from .splits import LayoutError, canonical_name

ANNOTATION_FOLDERS = (*MASK_FOLDERS, "ann", "anns", "json", "jsons", "labelme", "polygons")


@dataclass(frozen=True)
class FolderLayout:
    """Places of images and labels in a dataset folder.

    Args:
        images: folder of the images.
        labels: folder of the label files, or the one file with the labels of all images.
        label_format: one of `list_label_formats`.
        split: name of the split that `labels` is for; None: splits are folders or lists.
    """

    images: Path
    labels: Path
    label_format: str = LABEL_MAPS
    split: str | None = None


def find_layout(
    root: Path,
    images: str | Path | None,
    masks: str | Path | None,
    split: str | None,
    mask_suffix: str | None,
) -> FolderLayout:
    """Finds images and labels: folders of label maps, annotation files, or both in one folder.

    Args:
        root: folder of the dataset.
        images: choice of the user for the images, as a path or below `root`; None: search.
        masks: choice of the user for the labels, a folder or a file; None: search.
        split: name of a split, which may choose an annotation file or a part of a project.
        mask_suffix: suffix of label files; one that ends in ``.json`` asks for annotation files.

    Raises:
        FileNotFoundError: a path of the user does not exist.
        LayoutError: nothing fits, or several places do.
    """
    chosen = None if masks is None else resolve(root, masks, Path.exists, "Folder of masks")
    if chosen is not None and chosen.is_file():
        return _coco_layout(root, images, chosen, split)
    asks_json = mask_suffix is not None and mask_suffix.lower().endswith(".json")
    places = named_folders(root, MASK_FOLDERS) if chosen is None else [chosen]
    if asks_json or not any(has_files(place, MASK_SUFFIXES) for place in places):
        for find in (_supervisely_layout, _find_coco, _per_image_layout):
            found = find(root, images, chosen, split)
            if found is not None:
                return found
        adjacent = None if chosen is not None else _adjacent_layout(root, images)
        if adjacent is not None:
            return adjacent
    image_root = find_folder(root, images, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")
    return FolderLayout(image_root, find_folder(root, masks, MASK_FOLDERS, MASK_SUFFIXES, "masks"))


def _find_coco(
    root: Path, images: str | Path | None, chosen: Path | None, split: str | None
) -> FolderLayout | None:
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    if chosen is not None:
        folders = [chosen, *sorted(p for p in chosen.iterdir() if p.is_dir())]
    found = [p for folder in folders for p in sorted(folder.glob("*.json")) if is_coco(p)]
    if split is not None and len(found) > 1:
        found = [path for path in found if _is_of_split(path, root, split)] or found
    found = [path for path in found if path.name.startswith("instances")] or found
    if not found:
        return None
    if len(found) > 1:
        listed = ", ".join(path.relative_to(root).as_posix() for path in found)
        error = LayoutError(f"{root} has several annotation files: {listed}. Choose one")
        raise advised(error, "split", "masks")
    return _coco_layout(root, images, found[0], split)


def _is_of_split(path: Path, root: Path, split: str) -> bool:
    wanted = canonical_name(split)
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    if path.parent != root:
        words.append(path.parent.name)
    return any(canonical_name(word) == wanted for word in words)


def _coco_layout(
    root: Path, images: str | Path | None, path: Path, split: str | None
) -> FolderLayout:
    """Finds the folder of the images that an annotation file lists."""
    if not (path.suffix.lower() == ".json" and is_coco(path)):
        raise LayoutError(
            f"Expected a folder of labels, or a JSON file with 'images', 'annotations' and "
            f"'categories' as in COCO, found {path}. Give one of them"
        )
    of_split = split if split is not None and _is_of_split(path, root, split) else None
    if images is not None:
        folder = find_folder(root, images, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")
        return FolderLayout(folder, path, "coco", of_split)
    listed = list(CocoAnnotations().index_of(path).images)
    if not listed:
        raise LayoutError(f"{path} lists no images. Export it again")
    below = [*named_folders(root, IMAGE_FOLDERS), *sorted(p for p in root.iterdir() if p.is_dir())]
    deeper = [p for folder in below for p in sorted(folder.iterdir()) if p.is_dir()]
    for name in dict.fromkeys((listed[0], Path(listed[0]).name)):
        found = [p for p in (path.parent, root, *below, *deeper) if (p / name).is_file()]
        found = list(dict.fromkeys(found))
        nearest = [p for p in found if p == path.parent or _is_of_split(path, root, p.name)]
        chosen = nearest[:1] or found
        if len(chosen) > 1:
            places = ", ".join(p.relative_to(root).as_posix() for p in chosen)
            error = LayoutError(f"{path} lists {name}, which is in {places}. Choose one folder")
            raise advised(error, "images")
        if chosen:
            return FolderLayout(chosen[0], path, "coco", of_split)
    error = LayoutError(
        f"{path} lists {listed[0]}, which is in none of the folders of {root}. Add the images"
    )
    raise advised(error, "images")


def _supervisely_layout(
    root: Path, images: str | Path | None, chosen: Path | None, split: str | None
) -> FolderLayout | None:
    """Finds a Supervisely project, of which each dataset has the folders ``img`` and ``ann``."""
    parts = [
        folder
        for folder in (root, *sorted(p for p in root.iterdir() if p.is_dir()))
        if (folder / "ann").is_dir() and (folder / "img").is_dir()
    ]
    if not parts or images is not None or chosen is not None:
        return None
    if len(parts) > 1:
        named = [p for p in parts if split in (p.name, canonical_name(p.name))]
        if len(named) != 1:
            listed = ", ".join(p.name for p in parts)
            error = LayoutError(f"{root} has several datasets: {listed}. Choose one")
            raise advised(error, "split")
        parts = named
    name = None if parts[0] == root else parts[0].name
    sample = find_annotation(parts[0] / "ann")
    if sample is None:
        return None
    return FolderLayout(parts[0] / "img", parts[0] / "ann", sample[1], name)


def _per_image_layout(
    root: Path, images: str | Path | None, chosen: Path | None, split: str | None
) -> FolderLayout | None:
    """Finds a folder with one annotation file for each image."""
    if images is not None:
        image_roots = [find_folder(root, images, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")]
    else:
        named = named_folders(root, IMAGE_FOLDERS)
        image_roots = [p for p in named if has_files(p, IMAGE_SUFFIXES)]
    places = [*named_folders(root, ANNOTATION_FOLDERS), *image_roots, root]
    for place in [chosen] if chosen is not None else places:
        sample = find_annotation(place)
        if sample is None:
            continue
        if len(image_roots) > 1:
            find_folder(root, None, IMAGE_FOLDERS, IMAGE_SUFFIXES, "images")  # names them all
        return FolderLayout(image_roots[0] if image_roots else place, place, sample[1])
    return None


def _adjacent_layout(root: Path, images: str | Path | None) -> FolderLayout | None:
    """Finds a folder in which every image has its label map next to it."""
    place = root if images is None else resolve(root, images, Path.is_dir, "Folder of images")
    named = named_folders(root, IMAGE_FOLDERS)
    for folder in [place] if images is not None else [*named, root]:
        try:
            paths = index_images(folder)
            suffix = find_suffixes(paths, folder, folder, MASK_SUFFIXES).mask
        except (FileNotFoundError, LayoutError):
            continue
        masks = [path for path in files_below(folder) if path.name.endswith(suffix)]
        if len(masks) == len([path for path in paths if not path.name.endswith(suffix)]):
            return FolderLayout(folder, folder)
    return None

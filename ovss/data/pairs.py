"""Search for images and for the label map of each image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ovss.io.images import IMAGE_SUFFIXES

MAX_LISTED = 3  # files that a message names


def files_below(folder: Path) -> Iterator[Path]:
    """Yields every file in a folder and its subfolders, including links but not hidden files."""
    visited = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link to a parent folder would loop for ever
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))


def has_files(folder: Path, suffixes: Collection[str]) -> bool:
    """Returns True if a folder or one of its subfolders has a file of these types."""
    return any(path.suffix.lower() in suffixes for path in files_below(folder))


def index_images(
    folder: Path,
    subset: Sequence[str] | None = None,
    subset_name: str = "subset",
    mask_suffix: str = "",
) -> list[Path]:
    """Lists the images in a folder and its subfolders, sorted, without hidden files.

    Args:
        folder: folder of the images.
        subset: images to use, in the forms of `find_pairs`; None: all.
        subset_name: source of `subset`, for messages.
        mask_suffix: suffix of label maps in the same folder, which are left out; "" if the folder
            has none.

    Raises:
        FileNotFoundError: the folder does not exist, has no images, or lacks one of `subset`.
        ValueError: an entry of `subset` fits several images.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Folder {folder} does not exist. Prepare a benchmark with `ovss prepare`, or set the "
            f"environment variable OVSS_DATA if your datasets are not in data/"
        )
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    if mask_suffix:
        found = [path for path in found if not path.name.endswith(mask_suffix)]
    if not found:
        raise FileNotFoundError(
            f"Found no images ({', '.join(sorted(IMAGE_SUFFIXES)[:8])} ...) in {folder}"
        )
    return found if subset is None else _select(found, folder, subset, subset_name)


def find_pairs(
    images: Path,
    masks: Path | None,
    mask_suffix: str,
    subset: Sequence[str] | None = None,
    subset_name: str = "subset",
    image_suffix: str = "",
) -> list[tuple[Path, Path | None]]:
    """Pairs every image with the path of its label map.

    A label map is called as its image, with `mask_suffix` in place of `image_suffix` and the file
    type (``a.png``) or after the file type (``a.jpg.png``). Equal names in different Unicode
    normal forms are the same name, because file systems change the form.

    Args:
        images: folder of the images, with subfolders.
        masks: folder of the label maps, with the same subfolders; None without labels. In the
            folder of the images, the files that end with `mask_suffix` are the label maps.
        mask_suffix: suffix that replaces an image's file type in the name of its label map.
        subset: images to use; None: all. An entry is a path below `images`, a path that starts
            with the name of `images`, or a file name, each with or without file type.
        subset_name: source of `subset`, for messages.
        image_suffix: end of the names of images, before the file type, that label maps lack.

    Returns:
        Paths of each image and its label map, or None in place of the label map without labels.

    Raises:
        FileNotFoundError: a folder does not exist, has no images, or lacks an image of `subset` or
            a label map.
        ValueError: two images have the same name and would share a label map.
    """
    found = index_images(images, subset, subset_name, mask_suffix if images == masks else "")
    if masks is not None and not masks.is_dir():
        raise FileNotFoundError(f"Folder {masks} does not exist")
    owner: dict[Path, Path] = {}
    for path in found:
        key = path.relative_to(images).with_suffix("")
        if key in owner:
            raise ValueError(
                f"{owner[key]} and {path} have the same name and would share a label map. Rename "
                f"one of them"
            )
        owner[key] = path
    if masks is None:
        return [(path, None) for path in found]
    pairs = [
        (path, masks / key.with_name(key.name.removesuffix(image_suffix) + mask_suffix))
        for key, path in owner.items()
    ]
    pairs = _with_existing(pairs, images, masks, mask_suffix)
    missing = [mask for _, mask in pairs if not mask.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pairs)} images in {images} have no label map, such as "
            f"{', '.join(map(str, missing[:MAX_LISTED]))}. Add the label maps, or list the images "
            f"that have one in a file val.txt next to the folders"
        )
    return list(pairs)


def listed_pairs(
    images: Path,
    annotation: Path,
    subset: Sequence[str] | None = None,
    subset_name: str = "subset",
) -> list[tuple[Path, Path]]:
    """Pairs the images that one annotation file lists with this file.

    Args:
        images: folder of the images, with subfolders.
        annotation: annotation file in COCO's format.
        subset: images to use, in the forms of `find_pairs`; None: all that the file lists.
        subset_name: source of `subset`, for messages.

    Raises:
        FileNotFoundError: the folder lacks an image that the file or `subset` lists.
        ImageError: the file cannot be read.
    """
    from .label_formats.coco import CocoAnnotations

    if subset is None:
        subset, subset_name = tuple(CocoAnnotations().index_of(annotation).images), str(annotation)
    return [(path, annotation) for path in index_images(images, subset, subset_name)]


def normal_form(name: str | Path) -> str:
    """Returns a path with forward slashes in Unicode normal form C.

    >>> normal_form("a\u0308.png") == "\u00e4.png"
    True
    """
    text = name.as_posix() if isinstance(name, Path) else name
    return unicodedata.normalize("NFC", text)


def _with_existing(
    pairs: list[tuple[Path, Path]], images: Path, masks: Path, mask_suffix: str
) -> list[tuple[Path, Path]]:
    """Replaces missing label maps by those with the name in another form, if there are any."""
    if all(mask.is_file() for _, mask in pairs):
        return pairs
    known = {normal_form(path.relative_to(masks)): path for path in files_below(masks)}
    found = []
    for image, mask in pairs:
        full = image.relative_to(images)
        names = (mask.relative_to(masks), full.with_name(full.name + mask_suffix))
        existing = [known[normal_form(name)] for name in names if normal_form(name) in known]
        found.append((image, mask if mask.is_file() else next(iter(existing), mask)))
    return found


def _select(found: list[Path], images: Path, subset: Sequence[str], where: str) -> list[Path]:
    keys: dict[str, dict[Path, None]] = {}  # every form that names an image -> images that fit
    for path in found:
        relative = path.relative_to(images)
        for file in (Path(path.name), relative, images.name / relative):
            for key in (normal_form(file), normal_form(file.with_suffix(""))):
                keys.setdefault(key, {})[path] = None
    if not subset:
        raise FileNotFoundError(f"Expected a list of images, but {where} lists no images")
    subset = [normal_form(name) for name in subset]
    subset = [name if name in keys else name.replace("\\", "/") for name in subset]
    unknown = [name for name in subset if name not in keys]
    if unknown:
        raise FileNotFoundError(
            f"{len(unknown)} of {len(subset)} images that {where} lists are not in {images}, such "
            f"as {', '.join(unknown[:MAX_LISTED])}"
        )
    ambiguous = [name for name in subset if len(keys[name]) > 1]
    if ambiguous:
        first = list(keys[ambiguous[0]])
        raise ValueError(
            f"{where} lists {ambiguous[0]}, which may be {first[0]} or {first[1]}. List its path "
            f"below {images}"
        )
    return sorted({path for name in subset for path in keys[name]})

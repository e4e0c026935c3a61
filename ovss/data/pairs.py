"""Which label map belongs to which picture."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ovss.io.images import IMAGE_SUFFIXES

SHOWN = 3  # files that a message names


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and its subfolders, through links too; hidden ones left out."""
    walked = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in walked:  # a link that leads back
            folders.clear()
            continue
        walked.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in files if not name.startswith("."))


def holds(folder: Path, kind: Collection[str]) -> bool:
    """Whether there is a file of these types below a folder."""
    return any(path.suffix.lower() in kind for path in files_below(folder))


def find_pictures(
    folder: Path, subset: Sequence[str] | None = None, subset_name: str = "subset"
) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted; hidden files are none.

    Args:
        subset: those to take, as in `find_pairs`; None: all. subset_name: where they are listed.

    Raises:
        FileNotFoundError: no such folder, no pictures, or one that the subset names.
        ValueError: the subset names one that may be several.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no such folder: {folder} (`ovss prepare` makes benchmarks ready; the environment "
            f"variable OVSS_DATA says where they are, if not in data/)"
        )
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise FileNotFoundError(
            f"no pictures ({', '.join(sorted(IMAGE_SUFFIXES)[:8])} ...) in {folder}"
        )
    return found if subset is None else _taken(found, folder, subset, subset_name)


def find_pairs(
    images: Path,
    masks: Path | None,
    mask_suffix: str,
    subset: Sequence[str] | None = None,
    subset_name: str = "subset",
) -> list[tuple[Path, Path | None]]:
    """Every picture with its label map, or None for each.

    Args:
        images: folder of the pictures, with subfolders.
        masks: folder of the label maps, laid out alike; None: there are none.
        mask_suffix: how the name of a label map ends where the picture's ends in its file type.
        subset: pictures to take: paths below `images`, or from its name on, or bare names; with or
            without file type.
        subset_name: where those are listed, for messages.

    Raises:
        FileNotFoundError: no such folder, no pictures, one that the subset names, or label maps.
        ValueError: two pictures of the same name, which would share a label map.
    """
    found = find_pictures(images, subset, subset_name)
    if masks is not None and not masks.is_dir():
        raise FileNotFoundError(f"no such folder: {masks}")
    owner: dict[Path, Path] = {}
    for path in found:
        key = path.relative_to(images).with_suffix("")
        if key in owner:
            raise ValueError(
                f"{owner[key]} and {path} have the same name, so the same label map would be "
                f"theirs: rename one, or move one away"
            )
        owner[key] = path
    if masks is None:
        return [(path, None) for path in found]
    pairs = [(path, masks / key.with_name(key.name + mask_suffix)) for key, path in owner.items()]
    missing = [mask for _, mask in pairs if not mask.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pairs)} pictures in {images} lack their label map; the first "
            f"{'is' if len(missing) == 1 else 'are'} {', '.join(map(str, missing[:SHOWN]))}. "
            f"Add them, or take the pictures that have one: a list val.txt beside the folders"
        )
    return list(pairs)


def _taken(found: list[Path], images: Path, subset: Sequence[str], where: str) -> list[Path]:
    keys: dict[str, dict[Path, None]] = {}
    for path in found:
        relative = path.relative_to(images)
        for file in (Path(path.name), relative, images.name / relative):
            for key in (file.as_posix(), file.with_suffix("").as_posix()):
                keys.setdefault(key, {})[path] = None
    if not subset:
        raise FileNotFoundError(f"{where} lists no pictures")
    subset = [name if name in keys else name.replace("\\", "/") for name in subset]
    unknown = [name for name in subset if name not in keys]
    if unknown:
        raise FileNotFoundError(
            f"{where} lists {len(unknown)} of {len(subset)} pictures that are not in {images}; the "
            f"first {'is' if len(unknown) == 1 else 'are'} {', '.join(unknown[:SHOWN])}"
        )
    several = [name for name in subset if len(keys[name]) > 1]
    if several:
        first = list(keys[several[0]])
        raise ValueError(
            f"{where} lists {several[0]}, which may be {first[0]} or {first[1]}: list the path "
            f"below {images}"
        )
    return sorted({path for name in subset for path in keys[name]})

"""Where pictures of categories come from: folders, labelled data, a generator, the mini world.

Each source is an iterator of `Wanted`: what the prompt will be, and a function that makes its
picture, which is called only if the bank does not have the prompt yet.
"""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovss.data.base import SegmentationDataset
from ovss.encoders.prompts import fill_template
from ovss.io.images import find_images, read_image
from ovss.layers.regions import Region, find_regions
from ovss.mini_world import portrait
from ovss.structures import split_synonyms

from .bank import Entry, category_key
from .refinement import cropped

_TRIES = 3


@dataclass(frozen=True)
class Wanted:
    """A prompt to be made.

    Args:
        entry: what the bank will call it.
        picture: makes (3, H, W), RGB in 0..255; None where there is none to be had.
    """

    entry: Entry
    picture: Callable[[], Tensor | None]


def folder_source(folder: str | Path, names: Sequence[str]) -> Iterator[Wanted]:
    """Pictures in one subfolder for each category, called like its first synonym; ``_`` is a blank.

    Raises:
        FileNotFoundError: a category without a subfolder or pictures, all of them named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    places = {category_key(p.name.replace("_", " ")): p for p in folder.iterdir() if p.is_dir()}
    found = {}
    for name in names:
        place = places.get(category_key(name))
        has_any = place is not None and any(path.is_file() for path in place.iterdir())
        found[name] = find_images([place]) if place is not None and has_any else []
    absent = [category_key(name) for name in names if not found[name]]
    if absent:
        raise FileNotFoundError(
            f"{folder} has no subfolder with pictures for {len(absent)} of {len(names)} "
            f"categories: {', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}"
        )
    for name, paths in found.items():
        for path in paths:
            entry = Entry(name, None, f"folder:{path.relative_to(folder).as_posix()}")
            yield Wanted(entry, partial(_read, path))


def crop_source(
    dataset: SegmentationDataset,
    names: Sequence[str],
    count: int,
    crop: str = "masked_bbox",
    fill: str | Sequence[float] = "mean",
    min_area: float = 0.002,
) -> Iterator[Wanted]:
    """What ground truth marks as a category, cut out of the pictures of a data set.

    Args:
        dataset: pictures and labels, in order.
        names: categories wanted; those that the data set does not know have no crops.
        count: crops of each category; reading stops when all have as many.
        crop, fill: see `refinement.Refinement`.
        min_area: smaller regions are passed over, as a share of the picture.
    """
    wanted = {category_key(name): name for name in names}
    known = {i: wanted[category_key(n)] for i, n in enumerate(dataset.names)
             if category_key(n) in wanted}  # fmt: skip
    taken: Counter[int] = Counter()
    for index in range(len(dataset)):
        if all(taken[category] >= count for category in known):
            return
        picture = dataset.load(index)
        if picture.labels is None:
            raise ValueError(f"{picture.path} has no labels: crops need a data set with masks")
        labels_1HW = torch.from_numpy(picture.labels.astype("int64"))[None]
        for region in find_regions(labels_1HW, min_area, wanted=known.__contains__):
            if taken[region.category] < count:
                taken[region.category] += 1
                entry = Entry(known[region.category], None, f"crop:{picture.path}:{crop}")
                yield Wanted(entry, partial(_cut, picture.image, region, crop, fill))


def generator_source(
    pipeline: Callable[..., Any],
    names: Sequence[str],
    templates: Sequence[str],
    count: int,
    model: str,
    steps: int = 30,
    guidance: float = 7.5,
    size: int = 512,
    seed: int = 0,
) -> Iterator[Wanted]:
    """Pictures that a text-to-image model draws of each category under the first templates.

    Each prompt has random numbers of its own, which follow from `seed` and its words.

    Args:
        pipeline: called as those of ``diffusers`` are, see `load_pipeline`.
        names: categories; the first synonym is drawn.
        templates: P prompt templates.
        count: pictures of a category, at most P; with fewer the rest take them in turn.
        model: its name, for the index.
        steps, guidance, size: of the pipeline; `size` in pixels.
        seed: another seed, other pictures.
    """
    for name in names:
        for template in templates[:count]:
            text = fill_template(template, split_synonyms(name)[0])
            draw = partial(_drawn, pipeline, text, steps, guidance, size, seed)
            made = f"diffusers:{model}:{steps}:{guidance}:{size}:{seed}"
            yield Wanted(Entry(name, template, made), draw)


def world_source(names: Sequence[str], count: int, size: int = 96) -> Iterator[Wanted]:
    """Portraits by the mini world.

    Raises:
        KeyError: a name that it does not have.
    """
    for name in names:
        for number in range(count):
            entry = Entry(name, None, f"mini_world:{size}:{number}")
            yield Wanted(entry, partial(_portrait, name, number, size))


def load_pipeline(model: str, device: str) -> Callable[..., Any]:
    """A text-to-image pipeline of ``diffusers``.

    Args:
        model: a folder, or a name on the Hugging Face Hub.
        device: ``cpu`` or ``cuda``; half precision there.

    Raises:
        RuntimeError: ``diffusers`` is not installed, or the model cannot be had.
    """
    try:
        from diffusers import AutoPipelineForText2Image
    except ImportError as error:
        raise RuntimeError(
            "pictures from a text-to-image model need `diffusers`: "
            "pip install 'ovss[diffusers]', or use another source"
        ) from error
    kind = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    try:
        pipeline = AutoPipelineForText2Image.from_pretrained(model, torch_dtype=kind)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"the text-to-image model {model!r} could not be loaded ({error}): give a folder with "
            f"it, or a name on the Hugging Face Hub and a connection"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _drawn(
    pipeline: Callable[..., Any], text: str, steps: int, guidance: float, size: int, seed: int
) -> Tensor | None:
    """One picture; one that the model's own filter blackened is drawn again, another way."""
    for attempt in range(_TRIES):
        number = zlib.crc32(f"{seed}/{attempt}/{text}".encode())
        made = pipeline(
            prompt=text,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=size,
            width=size,
            generator=torch.Generator("cpu").manual_seed(number),
        )
        if not any(getattr(made, "nsfw_content_detected", None) or ()):
            return _tensor(made.images[0])
    warnings.warn(f"the model's filter refused {text!r} {_TRIES} times: left out", stacklevel=2)
    return None


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1)


def _cut(image: Any, region: Region, crop: str, fill: str | Sequence[float]) -> Tensor:
    return cropped(torch.from_numpy(image).permute(2, 0, 1), region, crop, fill)


def _portrait(name: str, number: int, size: int) -> Tensor:
    return torch.from_numpy(portrait(name, number, size)).permute(2, 0, 1)


def _tensor(image: Any) -> Tensor:
    """A PIL picture."""
    from ovss.io.images import to_rgb

    return torch.from_numpy(to_rgb(image)).permute(2, 0, 1)

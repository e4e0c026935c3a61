"""Sources of example images: folders, labelled datasets, a text-to-image model, the mini world.

Each source yields `Wanted` requests. A request has the index entry of the prompt and a function
that makes its image, which is called only if the bank does not have the prompt yet.
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
from ovss.io.images import find_images, read_image
from ovss.layers.regions import Region, find_regions
from ovss.mini_world import portrait
from ovss.structures import split_synonyms
from ovss.vocabularies.prompts import fill_template

from .bank import Entry, category_key
from .refinement import crop_region

_TRIES = 3


@dataclass(frozen=True)
class Wanted:
    """Request for a visual prompt.

    Args:
        entry: index entry of the prompt in the bank.
        image: function that makes the image (3, H, W), RGB in 0..255, or None if it cannot.
    """

    entry: Entry
    image: Callable[[], Tensor | None]


def folder_source(folder: str | Path, names: Sequence[str]) -> Iterator[Wanted]:
    """Yields requests for the images in a folder.

    Args:
        folder: folder with one subfolder of images for each category. A subfolder is named after
            the first synonym of its category, where ``_`` stands for a space.
        names: class names.

    Raises:
        FileNotFoundError: the folder does not exist, or categories have no images in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The folder of example images {folder} does not exist. Check its path."
        )
    subfolders = {category_key(p.name.replace("_", " ")): p for p in folder.iterdir() if p.is_dir()}
    image_paths = {}
    for name in names:
        subfolder = subfolders.get(category_key(name))
        has_files = subfolder is not None and any(path.is_file() for path in subfolder.iterdir())
        image_paths[name] = find_images([subfolder]) if subfolder is not None and has_files else []
    absent = [category_key(name) for name in names if not image_paths[name]]
    if absent:
        listing = f"{', '.join(absent[:5])}{' ...' if len(absent) > 5 else ''}"
        raise FileNotFoundError(
            f"{folder} has no subfolder with images for {len(absent)} of {len(names)} categories "
            f"({listing}). Add a subfolder with images for each of them."
        )
    for name, paths in image_paths.items():
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
    """Yields requests for crops of ground-truth regions of a dataset.

    Args:
        dataset: labelled images, read in order.
        names: class names; those that the dataset does not have get no crops.
        count: number of crops for each category. Reading stops when all have as many.
        crop, fill: see `refinement.Refinement`.
        min_area: smallest area of a region that is used, as a fraction of the image.

    Raises:
        ValueError: an image without labels.
    """
    requested = {category_key(name): name for name in names}
    category_names = {i: requested[category_key(n)] for i, n in enumerate(dataset.names)
                      if category_key(n) in requested}  # fmt: skip
    counts: Counter[int] = Counter()
    for index in range(len(dataset)):
        if all(counts[category] >= count for category in category_names):
            return
        sample = dataset.load(index)
        if sample.labels is None:
            raise ValueError(
                f"Crops need labelled images, but {sample.path} has no labels. "
                "Use a dataset with label maps."
            )
        labels_1HW = torch.from_numpy(sample.labels.astype("int64"))[None]
        for region in find_regions(labels_1HW, min_area, False, category_names.__contains__):
            if counts[region.category] < count:
                counts[region.category] += 1
                entry = Entry(category_names[region.category], None, f"crop:{sample.path}:{crop}")
                yield Wanted(entry, partial(_cut, sample.image, region, crop, fill))


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
    """Yields requests for images from a text-to-image model.

    The random numbers of each image depend only on `seed` and on its text, so that an image does
    not depend on the images before it.

    Args:
        pipeline: text-to-image pipeline with the interface of ``diffusers``, see `load_pipeline`.
        names: class names, of which the first synonym is used.
        templates: P prompt templates.
        count: number of images for each category, at most P. With fewer than P, the first templates
            are used and the others share their images.
        model: name of the model, for the index.
        steps: number of sampling steps.
        guidance: scale of classifier-free guidance.
        size: side of the images in pixels.
        seed: seed of the random numbers.
    """
    for name in names:
        for template in templates[:count]:
            text = fill_template(template, split_synonyms(name)[0])
            draw = partial(_generate, pipeline, text, steps, guidance, size, seed)
            source = f"diffusers:{model}:{steps}:{guidance}:{size}:{seed}"
            yield Wanted(Entry(name, template, source), draw)


def world_source(names: Sequence[str], count: int, size: int = 96) -> Iterator[Wanted]:
    """Yields requests for portraits that the mini world draws.

    Args:
        names: class names of the mini world.
        count: number of portraits for each category.
        size: side of the portraits in pixels.

    Raises:
        KeyError: a name that the mini world does not have, once its image is made.
    """
    for name in names:
        for number in range(count):
            entry = Entry(name, None, f"mini_world:{size}:{number}")
            yield Wanted(entry, partial(_portrait, name, number, size))


def load_pipeline(model: str, device: str) -> Callable[..., Any]:
    """Loads a text-to-image pipeline of ``diffusers``.

    Args:
        model: folder of a model, or its name on the Hugging Face Hub.
        device: ``cpu``, or ``cuda`` for half precision.

    Raises:
        RuntimeError: ``diffusers`` is not installed, or the model cannot be loaded.
    """
    try:
        from diffusers import AutoPipelineForText2Image
    except ImportError as error:
        raise RuntimeError(
            "Images from a text-to-image model need the package `diffusers`, which is not "
            "installed. Run pip install 'ovss[diffusers]', or use another source."
        ) from error
    kind = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    try:
        pipeline = AutoPipelineForText2Image.from_pretrained(model, torch_dtype=kind)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"The text-to-image model {model!r} could not be loaded ({error}). Give a folder with "
            "the model, or its name on the Hugging Face Hub if you have a network connection."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _generate(
    pipeline: Callable[..., Any], text: str, steps: int, guidance: float, size: int, seed: int
) -> Tensor | None:
    """Generates one image; tries other seeds if the model's content filter refuses it."""
    for attempt in range(_TRIES):
        number = zlib.crc32(f"{seed}/{attempt}/{text}".encode())
        result = pipeline(
            prompt=text,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=size,
            width=size,
            generator=torch.Generator("cpu").manual_seed(number),
        )
        # Not all pipelines have a content filter.
        if not any(getattr(result, "nsfw_content_detected", None) or ()):
            return _tensor(result.images[0])
    warnings.warn(
        f"The content filter of the model refused {text!r} {_TRIES} times. "
        "This visual prompt is left out.",
        stacklevel=2,
    )
    return None


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1)


def _cut(image: Any, region: Region, crop: str, fill: str | Sequence[float]) -> Tensor:
    return crop_region(torch.from_numpy(image).permute(2, 0, 1), region, crop, fill)


def _portrait(name: str, number: int, size: int) -> Tensor:
    return torch.from_numpy(portrait(name, number, size)).permute(2, 0, 1)


def _tensor(image: Any) -> Tensor:
    """Converts a PIL image to (3, H, W), RGB in 0..255."""
    from ovss.io.images import to_rgb

    return torch.from_numpy(to_rgb(image)).permute(2, 0, 1)

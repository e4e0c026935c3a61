"""Random names, images, labels and a fixed selection, for models with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor
from torch.nn import functional

from ovss.encoders.text_cache import held_bytes
from ovss.encoders.text_files import read_text_file, write_text_file
from ovss.interfaces import Selector
from ovss.io.stored_rows import StoredRows
from ovss.segmentor import OpenVocabSegmentor
from ovss.selectors import ClipTopK, KeepAll
from ovss.structures import ImageFeatures, Selection, TextFeatures

PRESENT = 8
"""Largest number of categories in random label maps."""


class FixedCount(Selector):
    """Runs a method's own selector, then keeps a fixed number of categories instead.

    Under random weights the categories that a selector keeps are arbitrary, but its cost is not.
    The first categories of the vocabulary are kept, the same in every view, so that merging costs
    as much as with views that agree. In training the categories in the ground truth come first.

    Args:
        selector: the method's own selector.
        count: number of categories that each image keeps. It is reduced to the size of a smaller
            vocabulary and raised to the number of categories in the ground truth.
    """

    def __init__(self, selector: Selector, count: int) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"Expected at least one category to keep, got {count}")
        self.selector = selector
        self.count = count

    @torch.no_grad()
    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        own = self.selector(image, text, keep_BT)
        order_T = torch.arange(own.num_categories, 0, -1.0, device=own.index_BK.device)
        fixed = Selection.top_k(order_T.expand(own.batch, -1), self.count, keep_BT)
        return replace(fixed, scores_BT=own.scores_BT)


def has_variable_count(model: OpenVocabSegmentor) -> bool:
    """True if the number of categories that the selector keeps depends on the image."""
    return not isinstance(model.selector, (KeepAll, ClipTopK))


def keep_fixed(model: OpenVocabSegmentor, count: int) -> None:
    """Wraps a method's selector in `FixedCount`.

    Raises:
        ValueError: the selector keeps a number of categories that does not depend on the image.
    """
    if not has_variable_count(model):
        raise ValueError(
            f"{type(model.selector).__name__} keeps a number of categories that does not depend on "
            f"the image, so a fixed count would measure another method. Set the selector's own "
            f"option instead"
        )
    model.selector = FixedCount(model.selector, count)


def numbered_names(count: int) -> tuple[str, ...]:
    """Makes class names: ``("category 0", "category 1", ...)``."""
    return tuple(f"category {number}" for number in range(count))


def random_text(model: OpenVocabSegmentor, names: tuple[str, ...]) -> TextFeatures:
    """Makes random text features of the shape that the model's encoder produces for `names`.

    Their mean over the templates is cached already, as it is after a vocabulary's first image.
    Those of a large vocabulary lie in files, as they do behind an encoder's cache.
    """
    vocabulary, device = model.vocabulary(names), device_of(model)
    shape = torch.Size((len(names), len(vocabulary.templates), model.encoder.joint_dim))
    is_large = 4 * shape.numel() > held_bytes(device)
    source_TPC = _random_rows(shape, device) if is_large else _random_embeds(shape).to(device)
    levels = tuple(
        torch.randn(*shape[:2], dim, device=device) for dim in model.encoder.text_level_dims
    )
    text = TextFeatures(source_TPC, levels, vocabulary)
    assert len(text.mean_TC) == len(names)  # cached from here on
    return text


def _random_embeds(shape: torch.Size) -> Tensor:
    return functional.normalize(torch.randn(shape, device="cpu"), dim=-1)


def _random_rows(shape: torch.Size, device: torch.device) -> StoredRows:
    """Random embeddings in mapped files, which are deleted when nothing maps them."""
    parts = []
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for start in range(0, shape[0], 100):
            keys = [str(number) for number in range(start, min(start + 100, shape[0]))]
            embeds_NPC = _random_embeds(torch.Size((len(keys), *shape[1:])))
            path = write_text_file(Path(folder), "random", keys, embeds_NPC)
            parts.append(read_text_file(path, "random"))
    places = [(number, row) for number, part in enumerate(parts) for row in range(len(part.keys))]
    embeds, means = [part.embeds_NPC for part in parts], [part.mean_NC for part in parts]
    return StoredRows(embeds, means, torch.tensor(places), device)


def text_bytes(text: TextFeatures) -> int:
    """Bytes that a vocabulary occupies while it is in use: embeddings, their mean and levels.

    Embeddings in files are not counted.
    """
    held = (text.source_TPC, text.mean_TC, *text.levels)
    return sum(x.numel() * x.element_size() for x in held if isinstance(x, Tensor))


def random_image(size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Makes a random uint8 image (3, H, W)."""
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8, device=device)


def random_batch(
    model: OpenVocabSegmentor, names: tuple[str, ...], size: tuple[int, int], batch: int
) -> tuple[Tensor, list[BaseDataElement]]:
    """Makes the input of a training step: images, and label maps of 4 x 4 blocks.

    All label maps of the batch share at most `PRESENT` categories.
    """
    device = device_of(model)
    images_B3HW = torch.stack([random_image(size, device) for _ in range(batch)])
    present = torch.randperm(len(names), device=device)[:PRESENT]
    samples = []
    for _ in range(batch):
        blocks_44 = present[torch.randint(len(present), (4, 4), device=device)]
        labels_1HW = functional.interpolate(blocks_44[None, None].float(), size)[0].long()
        sample = BaseDataElement(metainfo={"vocabulary": names})
        sample.gt_sem_seg = PixelData(data=labels_1HW)
        samples.append(sample)
    return images_B3HW, samples


def training_size(config: Config) -> tuple[int, int]:
    """(height, width) of a training image in the config's pipeline.

    Raises:
        ValueError: the config does not say the size.
    """
    data = config.get("train_dataloader", {}).get("dataset", {})
    crops = [step["crop_size"] for step in data.get("pipeline", ()) if "crop_size" in step]
    if crops:
        return int(crops[-1][0]), int(crops[-1][1])
    if "size" in data:
        return int(data["size"]), int(data["size"])
    raise ValueError(
        f"Expected crop_size or size in train_dataloader of {config.filename}, found neither. Give "
        f"an image size"
    )


def has_trainable_text(model: OpenVocabSegmentor) -> bool:
    """True if a training step encodes the vocabulary with gradients."""
    was_training = model.training
    text = model.train().encode_vocabulary(("category",))
    model.train(was_training)
    return text.source_TPC.requires_grad


def device_of(model: OpenVocabSegmentor) -> torch.device:
    """Device of a model's parameters."""
    return next(model.parameters()).device


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of `owner` while the context is active."""
    # Looked up on the instance alone: a method of the class comes back when ours is deleted.
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name)
        if before is not None:
            setattr(owner, name, before)

"""Writer of an index of regions that saves regularly, so that an interrupted build can continue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import torch
from safetensors.torch import save
from torch import Tensor

from ovss.io.files import ensure_writable, write_atomic, write_text
from ovss.io.names import printable

from .region_index import (
    FORMAT,
    INDEX,
    IndexMaker,
    IndexPart,
    RegionIndexError,
    part_names,
    read_index,
)

__all__ = ["RegionIndexWriter"]


class RegionIndexWriter:
    """Context manager that adds the regions of images to an index.

    Args:
        folder: folder of a new index or of one to continue.
        maker: identity of the models; an index of other models is refused.
        flush: number of regions between two writes.

    Raises:
        RegionIndexError: the folder holds an index of other models, or one that cannot be read.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, maker: IndexMaker, flush: int = 1 << 14) -> None:
        self.folder, self.maker, self.flush_every = Path(folder), maker, flush
        ensure_writable(self.folder)
        self.parts: list[IndexPart] = []
        if (self.folder / INDEX).is_file():
            found, self.parts = read_index(self.folder)
            if difference := found.difference(maker):
                raise RegionIndexError(
                    f"The index in {printable(self.folder)} belongs to other models: {difference}. "
                    f"Choose another folder or remove this one."
                )
        self._known = {image for part in self.parts for image in part.images}
        self._images: list[str] = []
        self._vectors: list[tuple[Tensor, ...]] = []
        self._rows = 0

    def __contains__(self, image: str) -> bool:
        return image in self._known

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts) + self._rows

    def add(self, image: str, keys_ND: Tensor, values: Sequence[Tensor]) -> None:
        """Adds the regions of one image, of which there may be none.

        Args:
            image: name of the image, by which a continued build skips it.
            keys_ND: key of each region.
            values: value of each region for each joint space, (N, C).

        Raises:
            RegionIndexError: shapes that do not match the models of the index.
        """
        shapes = [tuple(vector.shape) for vector in (keys_ND, *values)]
        dims = (self.maker.key_dim, *self.maker.value_dims)
        expected = [(len(keys_ND), dim) for dim in dims]
        if shapes != expected:
            raise RegionIndexError(
                f"The regions of {printable(image)} have the shapes {shapes}, but the index "
                f"expects {expected}. Encode them with the models of the index."
            )
        self._known.add(image)
        self._images.append(image)
        half = (vector.detach().to("cpu", torch.float16) for vector in (keys_ND, *values))
        self._vectors.append(tuple(half))
        self._rows += len(keys_ND)
        if self._rows >= self.flush_every:
            self.flush()

    def flush(self) -> None:
        """Writes the waiting regions, first the part and then the file that lists it."""
        if self._rows:
            number = 1 + max((part.number for part in self.parts), default=-1)
            part = IndexPart(number, self._rows, tuple(self._images))
            stacked = (torch.cat(vectors) for vectors in zip(*self._vectors))
            content = save(dict(zip(part_names(self.maker), stacked, strict=True)))
            write_atomic(self.folder / part.file_name, lambda file: file.write(content))
            self.parts.append(part)
            self._images, self._vectors, self._rows = [], [], 0
        index = {
            "format": FORMAT,
            "maker": asdict(self.maker),
            "parts": [asdict(part) for part in self.parts],
        }
        write_text(self.folder / INDEX, json.dumps(index, ensure_ascii=False, indent=1) + "\n")

    def __enter__(self) -> RegionIndexWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

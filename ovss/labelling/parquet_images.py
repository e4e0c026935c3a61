"""Images listed in a parquet file: the column that holds them, and their bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ovss.io.advice import advised
from ovss.io.names import IMAGE_SUFFIXES, is_url, printable
from ovss.io.regular import ensure_readable, open_regular

from .extras import import_parquet, import_pyarrow

__all__ = ["ImageTable", "file_token"]

_BATCH = 64
_FOOTER = 8  # its length and a mark, at the end of every parquet file


class ImageTable:
    """Parquet file with one image a row, read a few rows at a time.

    Args:
        path: parquet file.
        column: column of the images: paths, http(s) addresses, bytes, or structs with ``bytes`` as
            datasets of images have them; None: the only column that can be one.

    Attributes:
        column: column of the images.
        holds_bytes: True if the images are in the file, False for paths and addresses.

    Raises:
        ValueError: the file is not parquet, or no column, or more than one, can hold images.
    """

    def __init__(self, path: Path, column: str | None = None) -> None:
        parquet, self.path = import_parquet(), path
        ensure_readable(path)
        try:
            # without these, a whole column of a row group is read before its first row is given
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(f"{printable(path)}: cannot be read as parquet ({reason})") from None
        self._schema = self._file.schema_arrow
        self.column = self._known(column) if column else self._only_column()
        kind = self._schema.field(self.column).type
        self.holds_bytes = not _is_text(kind)
        if self.holds_bytes and _bytes_of(kind) is None:
            wrong = ValueError(
                f"{printable(path)}: expected paths, addresses or bytes in the column "
                f"{self.column!r}, found {kind}"
            )
            raise advised(wrong, "label_column")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._file.metadata.num_rows)

    def texts(self, column: str | None = None) -> Iterator[str]:
        """Values of a column as text, the one of the images by default; empty where it has none."""
        name = self._known(column) if column else self.column
        for batch in self._file.iter_batches(4096, columns=[name]):
            for value in batch.column(0).to_pylist():
                yield "" if value is None else str(value)

    def images(self, first: int) -> Iterator[bytes | None]:
        """Bytes of the images from a row on; None where a row holds none."""
        metadata, before = self._file.metadata, 0
        for group in range(metadata.num_row_groups):
            count = metadata.row_group(group).num_rows
            if before + count > first:
                yield from self._images_of_group(group, max(first - before, 0))
            before += count

    def _images_of_group(self, group: int, skip: int) -> Iterator[bytes | None]:
        field, seen = _bytes_of(self._schema.field(self.column).type), 0
        for batch in self._file.iter_batches(_BATCH, row_groups=[group], columns=[self.column]):
            if seen + len(batch) > skip:
                for value in batch.column(0).slice(max(skip - seen, 0)):
                    content = value.as_py()
                    yield content if not field or content is None else content[field]
            seen += len(batch)

    def _known(self, column: str) -> str:
        if column not in self._schema.names:
            raise ValueError(
                f"{printable(self.path)}: expected the column {column!r}, found "
                f"{', '.join(self._schema.names)}"
            )
        return column

    def _only_column(self) -> str:
        fields = {name: self._schema.field(name).type for name in self._schema.names}
        found = [name for name, kind in fields.items() if _bytes_of(kind) is not None]
        texts = [name for name, kind in fields.items() if _is_text(kind)]
        if not found and texts:
            batch = next(self._file.iter_batches(_BATCH, columns=texts), None)
            rows = {} if batch is None else batch.to_pydict()
            found = [name for name in texts if _are_images(rows.get(name, []))]
        if len(found) != 1:
            several = f"several: {', '.join(found)}" if found else f"none of {', '.join(fields)}"
            unclear = ValueError(
                f"{printable(self.path)}: expected one column of image paths, addresses or bytes, "
                f"found {several}"
            )
            raise advised(unclear, "label_column")
        return found[0]


def file_token(path: Path) -> str:
    """Hash that changes when a list of images changes: of a parquet file's footer, else of all."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        if path.suffix.lower() == ".parquet":
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _FOOTER, 0))
            length = int.from_bytes(file.read(4), "little")
            digest.update(str(size).encode())
            file.seek(max(size - _FOOTER - length, 0))
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_text(kind: Any) -> bool:
    types = import_pyarrow().types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _bytes_of(kind: Any) -> str | None:
    """Field of a column that holds bytes: empty for the column itself, None if there is none."""
    types = import_pyarrow().types
    if types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return "bytes" if "bytes" in names else None
    return "" if types.is_binary(kind) or types.is_large_binary(kind) else None


def _are_images(values: list[str | None]) -> bool:
    """True if all of the first values are addresses or have the suffix of an image."""
    texts = [value for value in values if value]
    web = ("http://", "https://")
    return bool(texts) and all(
        text.lower().startswith(web)
        if is_url(text)
        else Path(text).suffix.lower() in IMAGE_SUFFIXES
        for text in texts
    )

"""Interface of a format of annotation files, and the file reader that formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ovss.io.images import ImageError
from ovss.io.strict_json import decoded_json

from .shapes import ImageShapes


class LabelClass(NamedTuple):
    """Class that annotation files define: name, and RGB triple or None."""

    name: str
    color: tuple[int, int, int] | None = None


class LabelSource(ABC):
    """Reader of the labels of images in one format.

    A class sets `unlabeled` to names that mean "not labelled" in its format, and `overlap` to the
    order in which overlapping shapes are painted, for descriptions.
    """

    unlabeled: ClassVar[tuple[str, ...]] = ()
    overlap: ClassVar[str] = "in the order of the file"

    @abstractmethod
    def shapes_of(self, image: Path, annotation: Path) -> ImageShapes:
        """Reads the shapes of an image, in the order in which they are painted.

        Args:
            image: path of the image.
            annotation: path of the file with its labels.

        Raises:
            ImageError: the file cannot be read, or a shape has no area.
        """

    @abstractmethod
    def classes(self, annotations: Sequence[Path]) -> tuple[LabelClass, ...]:
        """Returns the classes of a dataset that has no class file.

        Args:
            annotations: paths of all annotation files.
        """


def read_annotation(path: Path) -> dict[str, Any]:
    """Reads an annotation file that holds a JSON object.

    Raises:
        ImageError: the file does not exist, or holds something else.
    """
    try:
        content = decoded_json(path.read_bytes())
    except FileNotFoundError:
        raise ImageError(f"Annotation file {path} does not exist") from None
    except ValueError as error:
        raise ImageError(f"{path} {error}. Export it again") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise ImageError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def field_of(record: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Returns a value of a JSON object.

    Args:
        record: JSON object.
        key: key of the value.
        kind: expected type or types.
        where: position of the object, for messages.

    Raises:
        ImageError: the key is missing, or its value has another type.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        names = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(name.__name__ for name in names)
        raise ImageError(f"{where}: expected {key!r} of type {expected}, got {str(value)[:60]!r}")
    return value

"""Annotation files that describe labels by shapes: one module for each format."""

from __future__ import annotations

from collections.abc import Callable

from .source import LabelSource

__all__ = ["LABEL_MAPS", "LabelSource", "label_source", "list_label_formats"]

LABEL_MAPS = "label_maps"
"""Name of the format in which every image has a label map."""

SHAPE_FORMATS = ("coco", "labelme", "cityscapes", "supervisely")


def list_label_formats() -> tuple[str, ...]:
    """Lists the formats of labels that a dataset can have."""
    return (LABEL_MAPS, *SHAPE_FORMATS)


def label_source(name: str) -> LabelSource:
    """Returns the reader of a format of annotation files.

    Args:
        name: one of `list_label_formats`, except `LABEL_MAPS`.

    Raises:
        ValueError: the format is unknown.
    """
    from .cityscapes import CityscapesPolygons
    from .coco import CocoAnnotations
    from .labelme import LabelMeShapes
    from .supervisely import SuperviselyObjects

    readers: tuple[Callable[[], LabelSource], ...]
    readers = (CocoAnnotations, LabelMeShapes, CityscapesPolygons, SuperviselyObjects)
    known: dict[str, Callable[[], LabelSource]] = dict(zip(SHAPE_FORMATS, readers, strict=True))
    if name not in known:
        raise ValueError(
            f"Unknown label format {name!r}. Use one of {', '.join(list_label_formats())}"
        )
    return known[name]()

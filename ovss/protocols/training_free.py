"""Protocols of training-free methods, as their codes run them on each dataset.

SCLIP began a line of methods that share a protocol but for a few numbers: the size of the canvas,
the windows, and the rule for background. The numbers differ by dataset, so each protocol has a
table of them. The codes compare every synonym by itself, and resize the cosines to the size of the
image before the softmax. On other datasets, and on your own images, the softmax is computed at the
size of the canvas, which needs less memory.
"""

from __future__ import annotations

from typing import Any

from ovss.vocabularies import load_templates

from .protocol import (
    BackgroundRule,
    Canvas,
    NamedProtocol,
    Prompting,
    ProtocolTemplate,
    Scoring,
    Views,
)
from .queried_names import clearclip_names, corrclip_names, proxyclip_names, sclip_names

VOC, CONTEXT, OBJECTS = "pascal_voc_21", "pascal_context_60", "coco_object"
"""Datasets with a background class."""

DATASETS = (
    VOC,
    CONTEXT,
    OBJECTS,
    "pascal_voc_20",
    "pascal_context_59",
    "coco_stuff_171",
    "cityscapes",
    "ade20k_150",
)
"""The eight datasets of the line, whose mean most papers give."""

Table = dict[str, dict[str, Any]]

IMAGE = {"views.activate_at": "image"}
"""The cosines are resized to the image before the softmax."""

LONGEST = 2048
"""Largest longer side of a canvas in pixels."""


def training_free_protocols() -> tuple[NamedProtocol, ...]:
    """Protocols of the section "Training-free protocols" of docs/protocols.md."""
    windows = _line(336, 224, 112)
    wide = _line(336, 336, 112)
    whole = {"views": Views(activation="softmax", activate_at="image")}
    street = {"views.window": 224, "views.stride": 112}
    words = sclip_names()
    thirds = _background((0.2, 0.15, 0.25), (40, 40, 40))
    names = ProtocolTemplate(
        Prompting(("{}",), "max"), canvas=Canvas(None), scores=Scoring(absent="union")
    )
    by_name = _background((0.4, 0.1, 0.4))
    ade: Table = {"ade20k_150": {"canvas.size": 448}}
    more: Table = {"ade20k_847": {"canvas.size": 448, **IMAGE}, "pascal_context_459": IMAGE}
    return (
        NamedProtocol(
            "sclip",
            windows,
            "code of SCLIP",
            _tables(
                {"cityscapes": {"canvas.size": 560}, "coco_stuff_171": {"canvas.size": 448}},
                _background((0.1, 0.1, 0.1), (65, 50, 50), area=0.1),
            ),
            words,
        ),
        NamedProtocol(
            "naclip",
            windows,
            "code of NACLIP",
            _tables(
                {"cityscapes": {"canvas.size": 560}, "coco_stuff_171": {"canvas.size": 448}},
                {"pascal_voc_20": whole, VOC: whole},
                _background((0.1, 0.1, 0.1), (40, 40, 40)),
            ),
            words,
        ),
        NamedProtocol(
            "clearclip",
            _line(448, 448, 224),
            "code of ClearCLIP",
            _tables(
                {"cityscapes": {"views.window": 224, "views.stride": 224}},
                _background((0.5, 0.15, 0.4), (50, 50, 50)),
            ),
            clearclip_names(),
        ),
        NamedProtocol(
            "sc_clip",
            windows,
            "code of SC-CLIP",
            _tables(
                {"cityscapes": {"canvas.size": 560}},
                _background((0.15, 0.15, 0.35), (50, 40, 55), area=0.1),
            ),
            words,
        ),
        NamedProtocol(
            "proxyclip",
            wide,
            "code of ProxyCLIP",
            _tables(ade, {"cityscapes": {"canvas.size": 448, **street}}, thirds),
            proxyclip_names(),
        ),
        NamedProtocol(
            "trident",
            _line(448, 336, 224).changed({"views.merge": "features"}),
            "code of Trident, without its refinement by SAM",
            _tables(
                {"pascal_context_59": {"canvas.size": 576}, "ade20k_150": {"canvas.size": 576}},
                {"cityscapes": {"canvas.size": 688}},
                _with_size(thirds, 576),
            ),
            proxyclip_names(),
        ),
        NamedProtocol(
            "radseg",
            windows.changed({"views.merge": "features"}),
            "code of RADSeg, low resolution",
            {"cityscapes": {"canvas.size": 560}},
        ),
        NamedProtocol(
            "dinotxt",
            _line(512, 384, 192).changed(
                {"prompts.synonyms": "first", "canvas.longest": None, "views.merge": "probs"}
            ),
            "notebook of dino.txt (DINOv3)",
        ),
        NamedProtocol(
            "corrclip",
            wide,
            "code of CorrCLIP",
            _tables(ade, {"cityscapes": {"canvas.size": 448, **street}}, thirds),
            corrclip_names(),
        ),
        NamedProtocol(
            "corrclip_v2",
            wide,
            "code of CorrCLIPv2",
            _tables(ade, more, {"cityscapes": {"canvas.size": 784, **street}}, thirds),
            corrclip_names(),
        ),
        NamedProtocol("lposs", _line(448, 224, 112), "label propagation over patches"),
        NamedProtocol("sam3", names, "code of SegEarth-OV3, with the class names", by_name),
        NamedProtocol(
            "sam3_selected",
            names.changed({"prompts.templates": load_templates("imagenet_80")}),
            "as sam3; the selector reads 80 prompts",
            by_name,
        ),
    )


def _line(size: int, window: int, stride: int) -> ProtocolTemplate:
    """Fields that the protocols share."""
    return ProtocolTemplate(
        Prompting(load_templates("imagenet_80"), "max"),
        canvas=Canvas(size, keep_ratio=True, longest=LONGEST),
        views=Views("slide", window, stride, False, "logits", "softmax"),
        scores=Scoring(absent="union"),
    )


def _background(
    thresholds: tuple[float, float, float],
    scales: tuple[float | None, ...] = (None, None, None),
    area: float = 0.0,
) -> Table:
    """Rules for the three datasets with background; `area` holds for VOC21 alone."""
    names = (VOC, CONTEXT, OBJECTS)
    return {
        name: {
            "background": BackgroundRule(
                "background",
                threshold=threshold,
                area=area if name == VOC else 0.0,
                scale=None if scale is None else float(scale),
            )
        }
        for name, threshold, scale in zip(names, thresholds, scales, strict=True)
    }


def _with_size(table: Table, size: int) -> Table:
    """Rules for the datasets with background, with another canvas for Context-60."""
    return {**table, CONTEXT: {**table[CONTEXT], "canvas.size": size}}


def _tables(*tables: Table) -> Table:
    """Fields by dataset from several tables; everywhere the cosines are resized to the image."""
    merged: Table = {name: dict(IMAGE) for name in DATASETS}
    for table in tables:
        for name, fields in table.items():
            merged[name] = {**merged.get(name, {}), **fields}
            if "views" in fields:
                del merged[name]["views.activate_at"]
    return merged

"""HTML of results: overlays that name the category under the pointer, tables and downloads.

The labels of an overlay travel as compressed 16-bit integers, not as an image, because browsers
that protect against fingerprinting change the pixels that a script reads.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterable
from html import escape

import numpy as np
from PIL import Image

from ovss.api.names import short_names
from ovss.api.result import SegmentationResult
from ovss.drawing.colors import UNKNOWN_COLOR
from ovss.drawing.overlay import overlay, sampled_labels

from .answers import DOWNLOADS
from .computing import Segmented

__all__ = ["error_card", "message", "page_of_cards", "result_card", "waiting_card"]

LONGEST_SIDE = 1024
"""Longest side of an overlay in the page; downloads have the size of the image."""

NO_LABEL = 65535


def page_of_cards(cards: Iterable[str]) -> str:
    """Cards side by side; on a narrow screen one below the other."""
    return f'<div class="ovss-cards">{"".join(cards)}</div>'


def message(text: str) -> str:
    """Error message in place of results."""
    return f'<p class="ovss-error" role="alert">{escape(text)}</p>'


def waiting_card(method: str) -> str:
    """Card of a method that has not finished."""
    return _card(method, '<p class="ovss-wait" role="status">Segmenting ...</p>')


def error_card(method: str, text: str) -> str:
    """Card of a method that failed."""
    return _card(method, message(text))


def result_card(segmented: Segmented, result: SegmentationResult, token: str) -> str:
    """Card of a result.

    Args:
        segmented: outcome, for its seconds.
        result: result of the outcome.
        token: address of its files, see `Answers`.
    """
    times = [f"{segmented.seconds:.2f} s for the image"]
    if segmented.text_seconds >= 0.01:
        times.append(f"{segmented.text_seconds:.2f} s for the categories")
    if segmented.build_seconds:
        times.append(f"{segmented.build_seconds:.1f} s to load the model")
    notes = [text for text in (result.note, *result.warnings) if text]
    parts = [
        f'<p class="ovss-times">{", ".join(times)}</p>',
        _view(result),
        *(f'<p class="ovss-note">{escape(text)}</p>' for text in notes),
        _links(token),
        _table(result),
    ]
    return _card(segmented.method, "".join(parts))


def _card(method: str, content: str) -> str:
    name = escape(method)
    return f'<section class="ovss-card" data-method="{name}"><h3>{name}</h3>{content}</section>'


def _view(result: SegmentationResult) -> str:
    """Overlay with the data that the script of the page needs to name the category."""
    small_HW3 = _small(result.image)
    labels_HW = sampled_labels(result.label_map, small_HW3.shape[:2])
    drawing = overlay(small_HW3, np.asarray(labels_HW, np.int64), result.colors)
    values_HW = np.where(labels_HW < 0, NO_LABEL, labels_HW).astype("<u2")
    packed = base64.b64encode(zlib.compress(values_HW.tobytes(), 6)).decode("ascii")
    names = escape(json.dumps(result.categories))
    height, width = labels_HW.shape
    smooth = " data-smooth" if max(height, width) > 256 else ""
    found = ", ".join(short_names(result.categories)[i] for i in result.present_indices[:5])
    return (
        f'<figure class="ovss-view"{smooth} data-width="{width}" data-height="{height}" '
        f'data-names="{names}" data-labels="{packed}">'
        f'<img src="{_data_url(drawing)}" alt="overlay: {escape(found)}" draggable="false">'
        '<canvas aria-hidden="true"></canvas><output class="ovss-hover"></output></figure>'
    )


def _small(image_HW3: np.ndarray) -> np.ndarray:
    if max(image_HW3.shape[:2]) <= LONGEST_SIDE:
        return np.asarray(image_HW3)
    small = Image.fromarray(np.asarray(image_HW3))
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return np.asarray(small)


def _data_url(image: Image.Image) -> str:
    """Image as an address; photographs as JPEG, which is a tenth of a PNG."""
    kind = "png" if max(image.size) <= 256 else "jpeg"
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **({"quality": 90} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _links(token: str) -> str:
    links = [
        f'<a href="result/{token}/{name}" download data-file="{name}">{text}</a>'
        for name, text in DOWNLOADS.items()
    ]
    return f'<p class="ovss-links">Download: {" ".join(links)}</p>'


def _table(result: SegmentationResult) -> str:
    rows = []
    size = result.label_map.size
    for i in result.present_indices:
        color = "#" + result.colors[i].tobytes().hex()
        share, score = result.pixels[i] / size, float(result.scores[i])
        cells = (result.categories[i], _percent(share), f"{score:.3f}")
        rows.append(_row(i, color, *cells))
    unknown = int(result.unknown.sum())
    if unknown:
        gray = "#" + bytes(UNKNOWN_COLOR).hex()
        rows.append(_row(NO_LABEL, gray, "unknown", _percent(unknown / size), ""))
    missing = len(result.categories) - len(result.present_indices)
    caption = f"<caption>{missing:,} more without pixels</caption>" if missing else ""
    head = "<tr><th>category</th><th>pixels</th><th title='mean over its pixels'>score</th></tr>"
    body = "".join(rows)
    return (
        f'<div class="ovss-rows"><table>{caption}<thead>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _percent(share: float) -> str:
    """Share of the pixels; one that rounds to 0 is marked as present."""
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


def _row(index: int, color: str, name: str, share: str, score: str) -> str:
    swatch = f'<i style="background:{color}"></i>'
    return (
        f'<tr data-index="{index}" tabindex="0"><td>{swatch}{escape(name)}</td>'
        f"<td>{escape(share)}</td><td>{score}</td></tr>"
    )

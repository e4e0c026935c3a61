"""Limits of the page, which keep one user from using up the memory of the machine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MIB", "Limits"]

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Args:
        upload: bytes of an uploaded file.
        pixels: pixels of an image, checked before it is decoded.
        text: characters of the fields for categories and for the background, together.
        categories: categories and background names, together.
        methods: methods that one request compares.
        waiting: requests that wait; further ones are refused.
        running: requests that are computed at once, each with another method.
        models: models that are kept in memory, at least `methods`.
        answers: results whose files can be downloaded; older ones are deleted.
        samples: images in the gallery.
    """

    upload: int = 20 * MIB
    pixels: int = 25_000_000
    text: int = 100_000
    categories: int = 2_000
    methods: int = 3
    waiting: int = 16
    running: int = 2
    models: int = 4
    answers: int = 60
    samples: int = 24

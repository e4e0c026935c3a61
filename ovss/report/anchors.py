"""Ids of cells and sections, stable from one report to the next."""

from __future__ import annotations

import re

__all__ = ["Anchors", "slug"]

_OTHER = re.compile(r"[^a-z0-9_.]+")


def slug(text: str) -> str:
    """Text as part of an id: small letters, digits, dots and underscores.

    >>> slug("mini_150"), slug("SED (ours), k=8")
    ('mini_150', 'sed_ours_k_8')
    """
    return _OTHER.sub("_", text.lower()).strip("_") or "x"


class Anchors:
    """Ids by what they name; equal ids of different things get a number."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, ...], str] = {}
        self._used: set[str] = set()

    def of(self, *parts: str) -> str:
        """Id of a thing, such as ``mini_150-dcp_clip_mini-miou``.

        Args:
            parts: what it is, the most general part first.
        """
        if parts not in self._ids:
            plain = "-".join(map(slug, parts))
            free, number = plain, 1
            while free in self._used:
                number += 1
                free = f"{plain}-{number}"
            self._ids[parts] = free
            self._used.add(free)
        return self._ids[parts]

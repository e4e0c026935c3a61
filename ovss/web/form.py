"""Fields of the page, checked and converted to a request."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ovss.api.request import Request

from .limits import Limits

__all__ = ["Form"]


@dataclass(frozen=True)
class Form:
    """Checked fields of the page.

    Args:
        words: text of the categories in one line, as `ovss segment --words` takes it.
        background: text of the background names in one line; empty for none.
        threshold: probability below which a pixel is unknown.
        methods: names of the methods.
        request: categories and rules that these texts stand for.
    """

    words: str
    background: str
    threshold: float
    methods: tuple[str, ...]
    request: Request

    @classmethod
    def of(
        cls,
        words: str | None,
        background: str | None,
        threshold: float | None,
        methods: Sequence[str] | None,
        known: Collection[str],
        limits: Limits,
    ) -> Form:
        """Checks what a user typed.

        Args:
            words: categories; lines separate them as commas do.
            background: background names, in the same form.
            threshold: see `Request`.
            methods: names of the methods.
            known: names of the methods that can be used.
            limits: see `Limits`.

        Raises:
            ValueError: a field is empty, too long or wrong; the message says what to do.
        """
        _check_types(words, background, threshold, methods)
        chosen = tuple(dict.fromkeys(methods or ()))
        _check_methods(chosen, known, limits)
        lines = [_one_line(text or "") for text in (words, background)]
        if sum(map(len, lines)) > limits.text:
            raise ValueError(
                f"Expected at most {limits.text:,} characters of categories, got "
                f"{sum(map(len, lines)):,}. Shorten the list"
            )
        level = 0.0 if threshold is None else float(threshold)
        if not math.isfinite(level):
            raise ValueError("Expected a threshold in 0..1. Move the slider")
        request = Request.of(lines[0], lines[1] or None, level)
        if len(request.queries) > limits.categories:
            raise ValueError(
                f"Expected at most {limits.categories:,} categories and background names on this "
                f"page, got {len(request.queries):,}. Shorten the list, or use `ovss segment`"
            )
        return cls(lines[0], lines[1], level, chosen, request)


def _check_types(words: object, background: object, threshold: object, methods: object) -> None:
    """Refuses values that the fields of the page never have."""
    fields = [
        all(text is None or isinstance(text, str) for text in (words, background)),
        threshold is None or type(threshold) in (int, float),
        methods is None
        or (isinstance(methods, list | tuple) and all(isinstance(name, str) for name in methods)),
    ]
    if not all(fields):
        raise ValueError("The fields have unexpected values. Reload the page")


def _check_methods(methods: tuple[str, ...], known: Collection[str], limits: Limits) -> None:
    if not methods:
        raise ValueError("No method is chosen. Choose at least one")
    if len(methods) > limits.methods:
        raise ValueError(
            f"Expected at most {limits.methods} methods, got {len(methods)}. Choose fewer"
        )
    unknown = [name for name in methods if name not in known]
    if unknown:
        raise ValueError(f"The method {unknown[0][:80]!r} is not offered here. Choose another one")


def _one_line(text: str) -> str:
    """Text in one line, with commas where lines ended.

    Commas at the ends of lines stay single, so that ``cat,`` and ``dog`` are two categories.
    """
    lines = [" ".join(line.split()).rstrip(", ") for line in text.splitlines()]
    filled = [line for line in lines if line]
    joined = ", ".join(filled)
    # the comma at the end of `cat,` says that this is a category and not a vocabulary
    return f"{joined}," if len(filled) == 1 and text.strip().endswith(",") else joined

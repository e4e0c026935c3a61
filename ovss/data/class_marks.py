"""Seen and unseen marks of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ovss.vocabularies.seen import category_key

from .class_colors import checked_list
from .labels import find_class


def read_marks(seen: Any, unseen: Any, names: Sequence[str], where: str) -> tuple[str, ...] | None:
    """Returns the seen class names; None if neither list is given.

    If one list is given, all other classes have the other mark. If both are given, they must cover
    all classes.

    Args:
        seen: list of seen classes, or None.
        unseen: list of unseen classes, or None.
        names: T class names.
        where: source of the lists, for messages.

    Raises:
        ValueError: an unknown class, a class with both marks or with neither, or a synonym that
            belongs to a seen and to an unseen class.
    """
    if seen is None and unseen is None:
        return None
    indices = {
        mark: None
        if entries is None
        else [find_class(entry, names, where, mark) for entry in checked_list(entries, where, mark)]
        for mark, entries in (("seen", seen), ("unseen", unseen))
    }
    seen_ids, unseen_ids = indices["seen"], indices["unseen"]
    if seen_ids is None:
        seen_ids = [i for i in range(len(names)) if i not in (unseen_ids or ())]
    elif unseen_ids is not None:
        both = [names[i] for i in seen_ids if i in unseen_ids]
        neither = [n for i, n in enumerate(names) if i not in seen_ids and i not in unseen_ids]
        if both or neither:
            problem = (
                f"{both[0]!r} is marked both seen and unseen"
                if both
                else f"{neither[0]!r} has no mark"
            )
            raise ValueError(
                f"{problem} in {where}. Give each class one mark, or list the classes of one mark "
                f"only"
            )
    _check_synonyms(names, seen_ids, where)
    return tuple(names[i] for i in sorted(seen_ids))


def _check_synonyms(names: Sequence[str], seen_ids: Sequence[int], where: str) -> None:
    """Raises an error if a seen and an unseen class share a synonym.

    Metrics decide by the name whether a category was seen, so the name must be unambiguous.
    """
    owner = {synonym: names[i] for i in seen_ids for synonym in category_key(names[i])}
    for i, name in enumerate(names):
        shared = () if i in seen_ids else sorted(category_key(name) & owner.keys())
        if shared:
            raise ValueError(
                f"{shared[0]!r} belongs to {owner[shared[0]]!r} (seen) and to {name!r} (unseen) in "
                f"{where}. Remove it from one of them"
            )

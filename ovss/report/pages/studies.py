"""Published tables that stand next to ablations."""

from __future__ import annotations

from ovss.results.published import Study, load_published

from ..document import Entry
from ..view import formatted

__all__ = ["find_study", "published_entries"]


def find_study(name: str) -> Study | None:
    """Published table by its number; None for an empty name.

    Raises:
        ValueError: an unknown table.
    """
    if not name:
        return None
    studies = {study.number: study for study in load_published().studies}
    if name not in studies:
        known = ", ".join(studies)
        raise ValueError(f"Unknown published table {name!r} in the plan. Choose one of {known}")
    return studies[name]


def published_entries(study: Study | None, name: str) -> tuple[Entry, ...]:
    """Published values of a row; empty ones if the plan names no published row.

    Raises:
        ValueError: the table has no such row.
    """
    if study is None:
        return ()
    values = dict(study.rows)
    if name and name not in values:
        raise ValueError(
            f"Unknown row {name!r} of the published table {study.number} in the plan. Choose one "
            f"of {', '.join(values)}"
        )
    found = values.get(name, (None,) * len(study.columns))
    return tuple(
        Entry("" if value is None else formatted(value), kind="published") for value in found
    )

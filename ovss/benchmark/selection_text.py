"""Formats the measurements of a selector's thresholds for a terminal."""

from __future__ import annotations

from .kept import Point

_PERCENTS = ("recall", "recall_seen", "recall_unseen", "mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")


def selection_text(dataset: str, points: list[Point]) -> str:
    """Formats one row per threshold.

    Kept categories are shown as mean (smallest..largest), times in seconds of processor time.
    """
    lines = [
        f"{dataset}: {len(points[0].names)} categories, {len(points[0].kept_image)} images",
        f"{'threshold':<11}{'kept/view':>18}{'merged':>18}{'recall':>8}{'seen':>7}{'unseen':>7}"
        f"{'mIoU':>7}{'seen':>7}{'unseen':>7}{'hIoU':>7}{'s':>8}{'GMACs':>9}",
    ]
    for row in (point.as_dict() for point in points):
        threshold = "configured" if row["threshold"] is None else f"{row['threshold']:g}"
        percents = "".join(
            f"{'-' if row[key] is None else format(row[key], '.1f'):>{8 if key == 'recall' else 7}}"
            for key in _PERCENTS
        )
        lines.append(
            f"{threshold:<11}{_spread(row['kept_per_view']):>18}"
            f"{_spread(row['kept_per_image']):>18}{percents}"
            f"{row['seconds_per_image']['processor']:>8.3f}{row['gmacs_per_image']:>9.2f}"
        )
    return "\n".join(lines)


def _spread(kept: dict[str, float]) -> str:
    return f"{kept['mean']:.1f} ({kept['smallest']}..{kept['largest']})"

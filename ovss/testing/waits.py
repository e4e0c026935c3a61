"""Counts of operator calls, waits and uploads, with the lines of ours that cause them."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Waits", "line_of_ours"]

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
_OURS = ("ovss", "plugins", "examples")


@dataclass
class Waits:
    """What a stand-in device has counted.

    Args:
        events: number of events by (kind, description, line), where kind is ``call``, ``wait`` or
            ``upload``.
    """

    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, kind: str, what: str, line: str) -> None:
        """Counts an event."""
        self.events[kind, what, line] += 1

    @property
    def calls(self) -> int:
        """Number of operator calls."""
        return self._total("call")

    @property
    def waits(self) -> int:
        """Number of times that the host waits for the device."""
        return self._total("wait")

    @property
    def uploads(self) -> int:
        """Number of copies from the host to the device."""
        return self._total("upload")

    def lines(self, kind: str = "wait") -> Counter[str]:
        """Number of events of a kind by ``line: description``."""
        lines: Counter[str] = Counter()
        for (each, what, line), count in self.events.items():
            if each == kind:
                lines[f"{line}: {what}"] += count
        return lines

    def report(self) -> str:
        """Waits and uploads line by line, most frequent first."""
        return "\n".join(
            f"{count:5} {kind}: {line}"
            for kind in ("wait", "upload")
            for line, count in self.lines(kind).most_common()
        )

    def _total(self, kind: str) -> int:
        return sum(count for (each, *_), count in self.events.items() if each == kind)


def line_of_ours() -> str:
    """Innermost line of the package or a plugin on the stack, as ``path:line``.

    Lines of `ovss.testing` itself do not count. If no line is ours, the result is ``elsewhere``.
    """
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        inside = path.startswith(str(_ROOT))
        name = path[len(str(_ROOT)) + 1 :] if inside else path.rpartition("site-packages/")[2]
        folder = name.partition("/")[0]
        is_ours = folder in _OURS or folder.startswith("ovss_")
        if is_ours and not path.startswith(str(_HERE)):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"

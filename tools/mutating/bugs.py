"""Planted bugs: their lists, and the results of trying them."""

from __future__ import annotations

import json
import runpy
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from .tree import CAUGHT

LISTS = Path(__file__).resolve().parents[1] / "mutations"


class NotApplicableError(ValueError):
    """The text that a planted bug replaces does not occur exactly once in its file."""


@dataclass(frozen=True)
class PlantedBug:
    """A replacement of text in one file that some test must notice.

    Args:
        name: short description, unique over all lists.
        file: path in the repository.
        old: text that occurs exactly once in the file.
        new: text that replaces it.
        tests: test files or node ids that should catch the bug.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, source: str) -> str:
        """Source of the file with the bug.

        Raises:
            NotApplicableError: the old text does not occur exactly once, or nothing changes.
        """
        count = source.count(self.old)
        if count != 1 or self.old == self.new:
            raise NotApplicableError(
                f"{self.name}: expected the old text once in {self.file}, found it {count} times"
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Outcome:
    """Result of one bug.

    Args:
        bug: name of the bug.
        file: file that it changes.
        status: ``caught`` or the reason why it was not.
        by: first test that failed.
        seconds: duration of the tests.
        key: hash of the bug, its file and its tests, by which a later run knows the result.
        confirmed: True if that test passes without the bug.
    """

    bug: str
    file: str
    status: str
    by: str
    seconds: float
    key: str
    confirmed: bool = False


def load_bugs(folder: Path = LISTS) -> list[PlantedBug]:
    """Bugs of every list in a folder, in the order of the file names.

    Raises:
        ValueError: two bugs have one name.
    """
    bugs = [
        PlantedBug(**{**entry, "tests": tuple(entry["tests"])})
        for path in sorted(folder.glob("*.py"))
        for entry in runpy.run_path(str(path)).get("BUGS", ())
    ]
    names = [bug.name for bug in bugs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two planted bugs are called {twice[0]!r}. Rename one of them")
    return bugs


def key_of(bug: PlantedBug, root: Path) -> str:
    """Hash of a bug, of the file that it changes and of its test files."""
    digest = sha256(json.dumps(asdict(bug)).encode())
    for name in dict.fromkeys((bug.file, *(test.partition("::")[0] for test in bug.tests))):
        path = root / name
        digest.update(path.read_bytes() if path.is_file() else name.encode())
    return digest.hexdigest()[:16]


def line_of(outcome: Outcome) -> str:
    """Row of the table."""
    text = f"{outcome.status} by {outcome.by}" if outcome.status == CAUGHT else outcome.status
    return f"{outcome.bug:<52} {outcome.file:<40} {text} ({outcome.seconds:.0f} s)"


def summary(outcomes: list[Outcome]) -> str:
    """Lines about the bugs that were not caught, and the total."""
    rest = [outcome for outcome in outcomes if outcome.status != CAUGHT]
    lines = [f"not caught: {line_of(outcome)} {outcome.by}".rstrip() for outcome in rest]
    return "\n".join([*lines, f"{len(outcomes) - len(rest)} of {len(outcomes)} bugs were caught"])


def store(path: str | None, outcomes: list[Outcome]) -> None:
    """Writes outcomes as JSON; None writes nothing."""
    if path is not None:
        temporary = Path(f"{path}.tmp")
        temporary.write_text(json.dumps([asdict(o) for o in outcomes], indent=1), encoding="utf-8")
        temporary.replace(path)


def stored(path: str | None, again: bool) -> dict[str, Outcome]:
    """Caught bugs of an earlier run, by key."""
    if path is None or again or not Path(path).is_file():
        return {}
    outcomes = [Outcome(**row) for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    return {outcome.key: outcome for outcome in outcomes if outcome.status == CAUGHT}

"""Cases of the fuzz test: groups of recipes that write odd input and say what may come out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

REFUSED = frozenset({1})
USAGE = frozenset({2})
DENIED = frozenset({1, 2})
ACCEPTED = frozenset({0})
EITHER = frozenset({0, 1})
ANYTHING = frozenset({0, 1, 2})
"""Exit statuses that a case allows."""


@dataclass(frozen=True)
class Call:
    """Command line or Python call, and what may come out of it.

    Args:
        run: arguments after `ovss`, or a function to call.
        statuses: exit statuses that are right. A function that returns has status 0, one that
            raises an error has status 1.
        names: texts of which the message of a refusal holds at least one; empty: any message.
        expects: files that exist after status 0.
        absent: files that do not exist after another status.
        may_change: patterns of existing files that the call may rewrite.
        stdin: content of the standard input.
        quotes_python: True if a message may quote Python, because the input is a program.
        check: function of the folder, called after status 0; its text is a problem.
        has_error: False if status 1 is an answer and not an error, as in `ovss prepare --check`.
    """

    run: tuple[str, ...] | Callable[[], object]
    statuses: frozenset[int] = REFUSED
    names: tuple[str, ...] = ()
    expects: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    may_change: tuple[str, ...] = ()
    stdin: bytes = b""
    quotes_python: bool = False
    check: Callable[[Path], str] | None = None
    has_error: bool = True


@dataclass(frozen=True)
class Box:
    """Working directory of one case.

    Args:
        folder: empty folder, which is the current one while the case runs.
        base: folder of valid material that cases copy, see `tests.fuzz.material`.
        random: numbers of the case; equal for equal seed, group and number.
    """

    folder: Path
    base: Path
    random: random.Random

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes a file in the folder; text becomes UTF-8."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


Recipe = Callable[[Box], Call]


@dataclass
class Group:
    """Class of input.

    Args:
        name: name of the class.
        weight: share of cases beyond one per recipe.
        recipes: recipes by name.
    """

    name: str
    weight: float = 1.0
    recipes: dict[str, Recipe] = field(default_factory=dict)

    def __call__(self, recipe: Recipe) -> Recipe:
        """Adds a recipe; usable as a decorator."""
        self._add(recipe.__name__, recipe)
        return recipe

    def each(self, values: Iterable[Any]) -> Callable[[Callable[[Box, Any], Call]], Any]:
        """Decorator that adds one recipe per value, for functions of a box and a value."""

        def decorate(function: Callable[[Box, Any], Call]) -> Callable[[Box, Any], Call]:
            for index, value in enumerate(values):
                label = value if isinstance(value, str) and value.isidentifier() else index
                self._add(f"{function.__name__}-{label}", partial(_with_value, function, value))
            return function

        return decorate

    def _add(self, name: str, recipe: Recipe) -> None:
        if name in self.recipes:
            raise ValueError(f"{self.name} has two recipes {name!r}. Rename one")
        self.recipes[name] = recipe

    def cases(self, seed: int, count: int | None = None) -> Iterator[Case]:
        """Cases of a seed; a number is the same case for every count.

        Args:
            seed: seed of all random numbers.
            count: number of cases. Fewer than recipes: a sample of them that the seed decides;
                None: one per recipe.
        """
        recipes = len(self.recipes)
        numbers: Iterable[int] = range(recipes if count is None else count)
        if count is not None and count < recipes:
            numbers = sorted(random.Random(f"{seed}/{self.name}").sample(range(recipes), count))
        for number in numbers:
            yield self.case(seed, number)

    def case(self, seed: int, number: int) -> Case:
        """Case by its number: recipes take turns, each time with other random numbers."""
        name = list(self.recipes)[number % len(self.recipes)]
        return Case(
            f"{self.name}/{number}", name, self.recipes[name], f"{seed}/{self.name}/{number}"
        )


def _with_value(function: Callable[[Box, Any], Call], value: Any, box: Box) -> Call:
    return function(box, value)


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        id: name for `python -m tests.fuzz --case ID`.
        recipe_name: name of its recipe.
        recipe: function that writes the input.
        seed: seed of its random numbers.
    """

    id: str
    recipe_name: str
    recipe: Recipe
    seed: str

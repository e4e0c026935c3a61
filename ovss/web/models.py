"""Models of the page: built once, the ones used last are kept, and each computes for one user."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ovss.api.inferencer import Inferencer

__all__ = ["ModelStore"]


@dataclass
class _Place:
    """Model, or the place where one thread builds it while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    model: Inferencer | None = None


class ModelStore:
    """Keeps the models that were used last.

    Args:
        build: function that builds the model of a name.
        size: number of models that are kept. More are in memory only while all of them compute.
    """

    def __init__(self, build: Callable[[str], Inferencer], size: int) -> None:
        self.build, self.size = build, size
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self, name: str) -> Iterator[tuple[Inferencer, float]]:
        """Context with a model that nobody else uses meanwhile.

        Args:
            name: name of the method.

        Yields:
            The model, and the seconds that building it took; 0 if it was there.

        Raises:
            Exception: any error of building the model.
        """
        with self._lock:
            place = self._places.setdefault(name, _Place())
            self._places.move_to_end(name)
            place.users += 1
        try:
            with place.lock:
                seconds = 0.0
                if place.model is None:
                    self._evict(keep=self.size - 1)
                    start = time.perf_counter()
                    place.model = self.build(name)
                    seconds = time.perf_counter() - start
                yield place.model, seconds
        finally:
            with self._lock:
                place.users -= 1
            self._evict(keep=self.size)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models in memory, the one used last at the end."""
        with self._lock:
            return tuple(name for name, place in self._places.items() if place.model is not None)

    def _evict(self, keep: int) -> None:
        """Forgets the models that were used longest ago and that nobody uses, down to a number."""
        with self._lock:
            for name, place in list(self._places.items()):
                built = sum(place.model is not None for place in self._places.values())
                if not place.users and (place.model is None or built > keep):
                    del self._places[name]

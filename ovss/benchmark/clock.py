"""Wall-clock and processor time of a call and of the stages inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ovss.segmentor import OpenVocabSegmentor

from .stand_ins import replaced

STAGES = ("text", "encoder", "selector", "head", "decoder", "backward", "post_processor", "rest")
"""Stages in the order of the architecture figure.

``rest`` covers cutting into views, merging and the label map; in training it covers the loss.
"""

_Mark = tuple[Any, float]


@dataclass(frozen=True)
class Span:
    """Duration of a call in seconds.

    Args:
        wall: wall-clock time.
        processor: processor time of all threads of this process. Other processes on the machine
            do not lengthen it.
    """

    wall: float
    processor: float

    def __truediv__(self, count: float) -> Span:
        return Span(self.wall / count, self.processor / count)


@dataclass
class Clock:
    """Stopwatch for a run and its stages.

    On a GPU it records CUDA events, so that measuring a stage does not wait for it to finish.

    Args:
        device: device of the model.
        marks: name, start and stop of every stage of the last run.
        kept: number of categories kept in each view, one tensor per selection of the last run.
    """

    device: torch.device
    marks: list[tuple[str, _Mark, _Mark]] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)

    def now(self) -> _Mark:
        """Marks the current point of the run."""
        if self.device.type != "cuda":
            return time.perf_counter(), time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event, time.process_time()

    def wait(self) -> None:
        """Waits until the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def between(self, start: _Mark, stop: _Mark) -> Span:
        """Duration from one mark to another, after `wait`."""
        if self.device.type == "cuda":
            return Span(start[0].elapsed_time(stop[0]) / 1000, stop[1] - start[1])
        return Span(stop[0] - start[0], stop[1] - start[1])

    def as_stage(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `call` so that each of its runs is recorded as a stage."""

        def run(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            result = call(*args, **kwargs)
            self.marks.append((name, start, self.now()))
            return result

        return run

    def time(self, call: Callable[[], object]) -> tuple[Span, dict[str, Span]]:
        """Runs `call` and returns its duration and that of its stages, which add up to it."""
        self.marks.clear()
        self.kept.clear()
        self.wait()
        start, wall = self.now(), time.perf_counter()
        call()
        stop = self.now()
        self.wait()
        whole = Span(time.perf_counter() - wall, self.between(start, stop).processor)
        stages: dict[str, Span] = {}
        for name, *ends in self.marks:
            span, total = self.between(*ends), stages.get(name, Span(0, 0))
            stages[name] = Span(total.wall + span.wall, total.processor + span.processor)
        stages["rest"] = Span(
            whole.wall - sum(span.wall for span in stages.values()),
            whole.processor - sum(span.processor for span in stages.values()),
        )
        return whole, {name: stages[name] for name in STAGES if name in stages}


class StageRecorder(Protocol):
    """Measurement of stages: a `Clock`, or a count of work."""

    kept: list[Tensor]

    def as_stage(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `call` so that each of its runs is recorded as a stage."""


@contextmanager
def staged(model: OpenVocabSegmentor, clock: StageRecorder) -> Iterator[None]:
    """Records every component of a model as a stage while the context is active."""
    parts = [
        ("encoder", model.encoder, "encode_image"),
        ("text", model.encoder, "encode_text"),
        ("selector", model.selector, "forward"),
        ("head", model.head, "forward"),
        ("decoder", model.decoder, "forward"),
        ("post_processor", model.post_processor, "forward"),
    ]
    with ExitStack() as stack:
        for name, owner, method in parts:
            timed = clock.as_stage(name, getattr(owner, method))
            stack.enter_context(replaced(owner, method, timed))
        hook = model.selector.register_forward_hook(
            lambda selector, inputs, selection: clock.kept.append(selection.valid_BK.sum(1))
        )
        stack.callback(hook.remove)
        yield

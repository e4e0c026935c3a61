"""Reports of broken laws: the law, the component, and the numbers that differ."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ovss.postprocessors import Identity
from ovss.registry import REGISTRIES
from ovss.segmentor import OpenVocabSegmentor

PARTS = ("encoder", "selector", "head", "decoder", "post_processor", "criterion")
"""Arguments of the segmentor that hold a component, in the order of the figure."""

Law = Callable[[OpenVocabSegmentor], None]
"""Function that raises `LawError` if a segmentor breaks a rule."""


class LawError(AssertionError):
    """A broken law.

    Args:
        where: the component, such as ``decoder UpsampleDecoder``.
        difference: what differed, with numbers.
        law: name of the law; `law` fills it in.
    """

    def __init__(self, where: str, difference: str, law: str = "a law") -> None:
        super().__init__(f"{law} fails in the {where}: {difference}")
        self.where, self.difference, self.law = where, difference, law


def law(check: Law) -> Law:
    """Makes a law of a check: without gradients, in evaluation mode, every failure a `LawError`.

    An exception of a component counts as a failure of the law in that component. The model is in
    evaluation mode afterwards.
    """

    @functools.wraps(check)
    def checked(model: OpenVocabSegmentor) -> None:
        try:
            with torch.no_grad():
                check(model.eval())
        except LawError as error:
            raise LawError(error.where, error.difference, check.__name__) from error
        except Exception as error:
            where = place_of_error(error, model)
            raise LawError(where, f"{type(error).__name__}: {error}", check.__name__) from error
        finally:
            model.eval()

    return checked


def component(model: OpenVocabSegmentor, part: str) -> str:
    """Role and class of a component: ``decoder UpsampleDecoder``.

    Components inside it are listed: ``post-processor Chain (Identity, Background)``.

    Args:
        part: one of `PARTS`, or ``segmentor``.
    """
    found = model if part == "segmentor" else getattr(model, part)
    name = f"{part.replace('_', '-')} {type(found).__name__}"
    inside = [] if part == "segmentor" else _components_inside(found)
    return f"{name} ({', '.join(inside)})" if inside else name


def _components_inside(found: object) -> list[str]:
    if not isinstance(found, nn.Module):
        return []
    kinds = tuple(registry.kind for registry in REGISTRIES)
    return [
        type(module).__name__
        for module in found.modules()
        if module is not found and isinstance(module, kinds)
    ]


def place_of_error(error: BaseException, model: OpenVocabSegmentor) -> str:
    """Component whose code raised an exception; the segmentor if none did."""
    part_of = {id(getattr(model, part)): part for part in PARTS}
    part, trace = "segmentor", error.__traceback__
    while trace is not None:  # from the outermost frame to the innermost
        part = part_of.get(id(trace.tb_frame.f_locals.get("self")), part)
        trace = trace.tb_next
    return component(model, part)


@contextmanager
def without_post_processing(model: OpenVocabSegmentor) -> Iterator[None]:
    """Swaps the post-processor for `Identity`, to tell its faults from those of the others."""
    kept = model.post_processor
    model.post_processor = Identity()
    try:
        yield
    finally:
        model.post_processor = kept

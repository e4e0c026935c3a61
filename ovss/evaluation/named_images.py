"""Errors about values that are not finite, with the image that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["images_named"]


@contextmanager
def images_named(model: nn.Module, batch: dict[str, Any], where: str) -> Iterator[None]:
    """Context that adds the image to a `FloatingPointError`, as the model raises it.

    Args:
        model: model that predicts the batch, not wrapped for distributed runs.
        batch: collated batch. If it has several images, each is predicted again to find those that
            fail.
        where: part of the run, such as ``"the validation after iteration 500"``.

    Raises:
        FloatingPointError: of the type of the original, with image and part of the run.
    """
    try:
        yield
    except FloatingPointError as error:
        text = str(error).rstrip(". ")
        paths = ", ".join(_failing(model, batch))
        raise type(error)(f"{text}. It happened at image {paths} in {where}") from error


def _failing(model: Any, batch: dict[str, Any]) -> list[str]:
    """Paths of the images of a batch that fail alone; all of them if none does."""
    paths = [_path(sample) for sample in batch["data_samples"]]
    if len(paths) == 1:
        return paths
    failing = []
    for index, path in enumerate(paths):
        one = {key: value[index : index + 1] for key, value in batch.items()}
        try:
            with torch.no_grad():
                model.test_step(one)
        except FloatingPointError:
            failing.append(path)
    return failing or paths


def _path(sample: Any) -> str:
    return str(sample.metainfo.get("img_path") or "without a path")

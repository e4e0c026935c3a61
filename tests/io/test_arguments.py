"""Public functions name the argument that has a wrong type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pytest

import ovss
from ovss.io.arguments import check_fields, typed_arguments


@typed_arguments
def sample(
    name: str | Path | None = None,
    words: Sequence[str] = (),
    share: float = 0.5,
    count: int | None = None,
    on: bool = False,
    settings: Mapping[str, Any] | None = None,
    parts: Iterable[str] = (),
    size: tuple[int, ...] = (),
    rule: Literal["one", "two"] = "one",
    image: str | IO[bytes] | np.ndarray = "",
    *rest: int,
    **options: int,
) -> str:
    """Answer that shows that the function was called."""
    return "called"


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": Path("a")}, {"name": None}, {"words": ("a",)}, {"words": np.array(["a"]).tolist()},
        {"share": 1}, {"share": np.float32(0.5)}, {"count": np.int64(3)}, {"on": np.True_},
        {"settings": {"a": object()}}, {"parts": iter(["a"])}, {"parts": {"a"}}, {"size": (1, 2)},
        {"rule": "two"}, {"image": object()}, {"extra": "options are not checked"},
    ],
)  # fmt: skip
def test_values_of_the_annotated_types_are_accepted(arguments):
    assert sample(**arguments) == "called"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": 3}, "name of sample must be text, a path or None, got 3"),
        ({"name": b"a"}, "got b'a'"),
        ({"words": "cat"}, "words of sample must be a list of texts, got 'cat'"),
        ({"words": ["cat", None]}, "item 1 of words of sample must be text, got None"),
        ({"share": "x" * 999}, f"share of sample must be a number, got '{'x' * 79}..."),
        ({"share": True}, "got True"),
        ({"count": 10**5000}, None),
        ({"count": 1.5}, "count of sample must be an integer or None, got 1.5"),
        (
            {"on": 10**5000},
            "on of sample must be True or False, got a value of type int, which cannot be shown",
        ),
        ({"settings": [("a", 1)]}, "must be a dict or None, got [('a', 1)]"),
        ({"settings": {1: 2}}, "a key of settings of sample must be text, got 1"),
        ({"parts": 3}, "parts of sample must be a list of texts, got 3"),
        ({"size": [1]}, "size of sample must be a tuple of integers, got [1]"),
        ({"rule": "three"}, "rule of sample must be 'one' or 'two', got 'three'"),
    ],
)
def test_others_are_named(arguments, text):
    if text is None:
        assert sample(**arguments) == "called"
        return
    with pytest.raises(TypeError) as caught:
        sample(**arguments)
    assert text in str(caught.value)


def test_unknown_arguments_are_named_with_the_closest_one():
    @typed_arguments
    def draw(opacity: float = 0.5) -> None:
        """Nothing."""

    with pytest.raises(TypeError, match=r"has no argument 'opacty'\. Did you mean 'opacity'\?"):
        draw(opacty=1)


def test_fields_of_a_record_are_checked():
    @dataclass(frozen=True)
    class Options:
        jobs: int | None = None

        def __post_init__(self) -> None:
            check_fields(self)

    assert Options(3).jobs == 3
    with pytest.raises(TypeError, match="jobs of Options must be an integer or None, got 'x'"):
        Options("x")


def test_every_public_function_checks_its_arguments():
    public = [getattr(ovss, name) for name in ovss.__all__]
    functions = [each for each in public if type(each) is type(sample)]
    assert len(functions) >= 5
    for function in functions:
        has_arguments = function.__code__.co_name == "checked" or not function.__code__.co_argcount
        assert has_arguments, f"{function.__name__} lacks @typed_arguments"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ovss.load_config(3), "name_or_path of load_config must be text or a path, got 3"),
        (lambda: ovss.load_vocabulary(None), "source of load_vocabulary .* got None"),
        (lambda: ovss.build_segmentor([]), "config of build_segmentor must be text, a path or a"),
        (lambda: ovss.segment("a.png", 3), "words of segment must be .* got 3"),
        (lambda: ovss.Inferencer(device=3), "device of Inferencer must be text, got 3"),
        (lambda: ovss.Inferencer(modle="x"), "Inferencer has no argument 'modle'. Did you mean 'm"),
        (lambda: ovss.Vocabulary("cat"), "names of Vocabulary must be a tuple of texts, got 'cat'"),
    ],
)
def test_public_names(call, text):
    with pytest.raises(TypeError, match=text):
        call()

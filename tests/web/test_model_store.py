"""Models of the page: built once, bounded, and used by one thread at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ovss.web.models import ModelStore


def test_models_are_built_once_and_bounded():
    built = []
    store = ModelStore(lambda name: built.append(name) or name, 2)
    for name in "abacab":
        with store.borrowed(name) as (model, _):
            assert model == name
        assert len(store.names) <= 2
    assert "".join(built) == "abcb"
    assert store.names == ("a", "b")


def test_one_computation_at_a_time_for_each_model():
    busy, lock, problems = set(), threading.Lock(), []
    store = ModelStore(str.upper, 2)

    def compute(name):
        with store.borrowed(name) as (model, _):
            with lock:
                problems.extend([name] * (model in busy))
                busy.add(model)
            threading.Event().wait(0.001)
            with lock:
                busy.remove(model)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(compute, "abcabcabcaabbcc" * 5))
    assert not problems
    assert len(store.names) <= 2


def test_two_models_compute_at_once():
    store = ModelStore(str.upper, 2)
    both = threading.Barrier(2, timeout=30)

    def compute(name):
        with store.borrowed(name):
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compute, "ab"))


def test_a_failed_build_is_tried_again():
    outcomes = iter([ValueError("first"), None])

    def build(name):
        outcome = next(outcomes)
        if outcome:
            raise outcome
        return name

    store = ModelStore(build, 1)
    with pytest.raises(ValueError, match="first"), store.borrowed("a"):
        pass
    assert store.names == ()
    with store.borrowed("a") as (model, seconds):
        assert model == "a"
        assert seconds >= 0


def test_a_model_in_use_is_not_forgotten():
    store = ModelStore(str.upper, 1)
    with store.borrowed("a"):
        with store.borrowed("b"):
            pass
        assert "a" in store.names
    assert store.names == ("a",)

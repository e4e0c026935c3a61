"""Ensembles of region methods against their formulas, written out for each proposal."""

from __future__ import annotations

import math

import pytest
import torch

from ovss.heads.ensemble import Ensemble

K, Q = 5, 3
SEEN = [True, False, True, False, False]


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    return [3 * torch.randn(1, K + 1, Q, generator=generator).double() for _ in range(2)]


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def shares(ensemble: Ensemble, logits, valid=(True,) * K, filled=None) -> list[list[float]]:
    """Share of each category in each proposal, by proposal."""
    found = ensemble.log_shares(
        [each[:, :-1] for each in logits],
        [each[:, -1] for each in logits],
        torch.tensor([SEEN]),
        torch.tensor([valid]),
        None if filled is None else torch.tensor([filled]),
    )
    return found[0].exp().T.tolist()


def column(logits, source: int, query: int) -> list[float]:
    return logits[source][0, :, query].tolist()


@pytest.mark.parametrize("filled", [None, [True, False, True]])
def test_fc_clip(logits, filled):
    """g = log(p^(1-a) o^a); q = softmax(g) (1 - u); share = softmax(log(q + 1e-8))."""
    rule = Ensemble((0.6, 0.4), (0.2, 0.8), empty="first")
    for query, found in enumerate(shares(rule, logits, filled=filled)):
        p, o = (softmax(column(logits, source, query)[:K]) for source in (0, 1))
        void = softmax(column(logits, 0, query))[K]
        is_empty = filled is not None and not filled[query]
        powers = [0.0 if is_empty else 0.4 if seen else 0.8 for seen in SEEN]
        g = [math.log(a ** (1 - w) * b**w) for a, b, w in zip(p, o, powers)]
        q = [each * (1 - void) for each in softmax(g)] + [void]
        expected = softmax([math.log(each + 1e-8) for each in q])[:K]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("filled", [None, [True, False, True]])
def test_ovseg(logits, filled):
    """m^(1-w) c^w for all categories; m with void; c = 1 if the region is empty."""
    rule = Ensemble((0.3, 0.7), (0.3, 0.7), ("void", "categories"), renormalize=False, empty="one")
    for query, found in enumerate(shares(rule, logits, filled=filled)):
        m = softmax(column(logits, 0, query))[:K]
        c = softmax(column(logits, 1, query)[:K])
        if filled is not None and not filled[query]:
            c = [1.0] * K
        expected = [a**0.3 * b**0.7 for a, b in zip(m, c)]
        assert found == pytest.approx(expected, rel=1e-9)


def test_zegformer(logits):
    """c has the void logit of the first source, and the mean of the seen ones for each of them."""
    rule = Ensemble((2 / 3, 1 / 3), (1 / 3, 2 / 3), ("void", "void"), True, True, renormalize=False)
    for query, found in enumerate(shares(rule, logits)):
        m = softmax(column(logits, 0, query))[:K]
        c = softmax(column(logits, 1, query)[:K] + column(logits, 0, query)[K:])[:K]
        mean = sum(v for v, seen in zip(c, SEEN) if seen) / sum(SEEN)
        c = [mean if seen else v for v, seen in zip(c, SEEN)]
        expected = [
            a ** (2 / 3) * b ** (1 / 3) if seen else a ** (1 / 3) * b ** (2 / 3)
            for a, b, seen in zip(m, c, SEEN)
        ]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "rule",
    [
        Ensemble((0.6, 0.4), (0.2, 0.8)),
        Ensemble((0.6, 0.4), (0.0, 1.0), ("void", "categories"), renormalize=False),
        Ensemble((1, 0), (0, 1), first_void=True, mean_seen=True, product_floor=1e-8),
    ],
)
def test_padding_slots_change_nothing_and_get_nothing(logits, rule):
    valid = (True, True, True, True, False)
    padded = shares(rule, logits, valid)
    fewer = [torch.cat([each[:, :4], each[:, 5:]], dim=1) for each in logits]
    alone = rule.log_shares(
        [each[:, :-1] for each in fewer],
        [each[:, -1] for each in fewer],
        torch.tensor([SEEN[:4]]),
        torch.ones(1, 4, dtype=torch.bool),
        None,
    )
    for found, expected in zip(padded, alone[0].exp().T.tolist(), strict=True):
        assert found[:4] == pytest.approx(expected, rel=1e-9)
        assert math.isfinite(found[4])


@pytest.mark.parametrize(
    "options",
    [
        dict(seen=(1.0,), unseen=(1.0, 2.0)),
        dict(seen=(1.0, 0.0), unseen=(0.5, -0.5)),
        dict(seen=(1.0,), unseen=(1.0,), softmax=("all",)),
        dict(seen=(1.0,), unseen=(1.0,), empty="two"),
        dict(seen=(1.0,), unseen=(1.0,), softmax=("void", "void")),
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError, match="ensemble expects"):
        Ensemble(**options)

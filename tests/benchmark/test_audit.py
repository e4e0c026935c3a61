"""Audit of vocabularies: laws of the expected confusion, synonyms, and the command."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from ovss.benchmark.audit import audit, close_pairs, shared_synonyms, stray_synonyms
from ovss.cli import main
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config


def embeds(count, seed=0, dim=16):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(count, dim), dim=-1)


def names_of(count):
    return [f"n{i}" for i in range(count)]


def test_expected_confusion_is_the_softmax_over_the_vocabulary():
    embeds_TC = embeds(40)
    pairs, close = close_pairs(names_of(40), embeds_TC, 10.0, 1000)
    share_TT = (10.0 * embeds_TC @ embeds_TC.T).softmax(-1)
    largest_TT = torch.maximum(share_TT, share_TT.T)
    for pair in pairs:
        a, b = int(pair.first[1:]), int(pair.second[1:])
        assert pair.cosine == pytest.approx(float(embeds_TC[a] @ embeds_TC[b]), abs=1e-6)
        assert pair.confusion <= float(largest_TT[a, b]) + 1e-6
    a, b = divmod(int((largest_TT - torch.eye(40)).argmax()), 40)
    assert {pairs[0].first, pairs[0].second} == {f"n{a}", f"n{b}"}
    assert [p.confusion for p in pairs] == sorted((p.confusion for p in pairs), reverse=True)
    assert close == sum(p.confusion >= 0.2 for p in pairs)


def test_equal_texts_are_confused_in_half_of_the_cases():
    embeds_TC = torch.eye(4)[[0, 1, 2, 2]]
    (pair, *_), close = close_pairs(names_of(4), embeds_TC, 100.0, 10)
    assert {pair.first, pair.second} == {"n2", "n3"}
    assert (pair.cosine, pair.confusion) == (pytest.approx(1), pytest.approx(0.5))
    assert close == 1


def test_the_order_of_the_vocabulary_is_irrelevant():
    embeds_TC, names = embeds(30), names_of(30)
    order = torch.randperm(30).tolist()
    found, _ = close_pairs(names, embeds_TC, 20.0, 10)
    other, _ = close_pairs([names[i] for i in order], embeds_TC[order], 20.0, 10)
    for one, two in zip(found, other):
        assert {one.first, one.second} == {two.first, two.second}
        assert one.confusion == pytest.approx(two.confusion, rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_vocabularies(count):
    pairs, _ = close_pairs(names_of(count), embeds(count), 100.0, 10)
    assert len(pairs) == count * (count - 1) // 2


def test_synonyms_of_two_categories():
    assert shared_synonyms(["Sofa, couch", "couch, bed", "cat"]) == (
        ("couch", ("Sofa, couch", "couch, bed")),
    )


def test_a_synonym_closer_to_another_category_is_found():
    vectors = {"a": [1.0, 0, 0], "b": [0.9, 0.1, 0], "x": [0, 0.1, 1.0], "c": [0, 0, 1.0]}

    def encode(texts):
        return F.normalize(torch.tensor([vectors[text] for text in texts]), dim=-1)

    names = ["a, b, x", "c"]
    own = F.normalize(encode(("a", "b", "x")).mean(0), dim=-1)
    (stray,) = stray_synonyms(names, torch.stack([own, encode(("c",))[0]]), encode)
    assert (stray.synonym, stray.own, stray.other) == ("x", "a, b, x", "c")
    assert stray.cosine_other > stray.cosine_own
    assert stray_synonyms(["c", "a"], encode(("c", "a")), encode) == ()


def test_a_method_audits_with_its_own_prompts():
    model = build_segmentor(load_config("dcp_clip_mini"))
    found = audit(model, ("plain black star", "plain black cross", "grass, lawn", "water"), 43.4)
    assert found.pairs[0].first == "plain black star"
    assert found.categories == 4
    json.dumps(found.as_dict())


def test_the_command(tmp_path, capsys):
    file = tmp_path / "audit.json"
    words = ["--words", "red star, crimson star|red star, water", "--json", str(file)]
    assert main(["benchmark", "audit", "maskclip_mini", *words]) == 0
    output = capsys.readouterr().out
    assert "3 categories; " in output
    assert "the synonym 'red star' names several categories" in output
    assert json.loads(file.read_text())["categories"] == 3


@pytest.mark.parametrize("flags", [["--vocabulary", "ade20k_15"], ["--words", " "], []])
def test_bad_input_gives_one_line(flags, capsys):
    try:
        status = main(["benchmark", "audit", "maskclip_mini", *flags])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    assert "Traceback" not in capsys.readouterr().err

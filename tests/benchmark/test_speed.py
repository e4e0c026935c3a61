"""Times add up, the race is fair, and a fixed selection is what it says."""

from __future__ import annotations

import json
import runpy

import pytest
import torch

from ovss.benchmark.arguments import by_method, random_model
from ovss.benchmark.clock import Clock, staged
from ovss.benchmark.speed import Case, race, ratios
from ovss.benchmark.stand_ins import (
    FixedCount,
    keep_fixed,
    made_up_batch,
    made_up_names,
    made_up_picture,
    made_up_text,
    text_bytes,
    text_trains,
)

TWO = ["dcp_clip_mini", "cat_seg_mini"]


@pytest.fixture(scope="module")
def models():
    return {name: random_model(name, None, "cpu")[1] for name in TWO}


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (50, 11)])
def test_a_fixed_count_is_kept_after_the_own_selector_ran(models, count, expected):
    model = models["dcp_clip_mini"]
    text = made_up_text(model, made_up_names(11))
    image = model.encoder.encode_image(made_up_picture((96, 96))[None].repeat(2, 1, 1, 1))
    own = model.selector(image, text)
    fixed = FixedCount(model.selector, count)(image, text)
    assert fixed.valid_BK.sum(1).tolist() == [expected] * 2
    assert torch.equal(fixed.scores_BT, own.scores_BT), "what the own selector scored"


def test_a_fixed_count_keeps_the_truth_in_training(models):
    model = models["dcp_clip_mini"]
    text = made_up_text(model, made_up_names(11))
    image = model.encoder.encode_image(made_up_picture((96, 96))[None])
    truth_1T = torch.zeros(1, 11, dtype=torch.bool)
    truth_1T[0, [6, 10]] = True
    fixed = FixedCount(model.selector, 3).train()(image, text, truth_1T)
    assert fixed.index_BK.tolist() == [[0, 6, 10]]


def test_a_selector_of_a_known_number_is_not_replaced(models):
    with pytest.raises(ValueError, match="ClipTopK keeps a number"):
        keep_fixed(models["cat_seg_mini"], 5)


def test_stages_add_up_to_the_whole(models):
    model, clock = models["dcp_clip_mini"], Clock(torch.device("cpu"))
    text = made_up_text(model, made_up_names(9))
    own = vars(model.encoder).get("encode_image")

    def run() -> None:
        with staged(model, clock):
            model.scores(made_up_picture((96, 96)), text)

    whole, stages = clock.time(run)
    assert sum(span.wall for span in stages.values()) == pytest.approx(whole.wall)
    assert {"encoder", "selector", "head", "decoder", "rest"} <= set(stages)
    assert vars(model.encoder).get("encode_image") is own, "left as it was"


def test_rounds_take_turns_and_ratios_are_of_the_best():
    order = []

    def case(method: str) -> Case:
        return Case(method, "7", lambda clock: order.append(method))

    cases = [case("a"), case("b")]
    race(cases, rounds=2, warm_up=1, say=lambda line: None)
    assert order == ["a", "b"] * 3
    assert [len(case.spans) for case in cases] == [2, 2]
    (row,) = ratios(cases)
    expected = min(s.wall for s in cases[1].spans) / min(s.wall for s in cases[0].spans)
    assert (row["method"], row["over"], row["wall"]) == ("b", "a", expected)


def test_words_are_encoded_in_a_step_where_they_train(models):
    assert [text_trains(models[name]) for name in TWO] == [False, True]


def test_made_up_labels_are_of_the_vocabulary(models):
    inputs, samples = made_up_batch(models["cat_seg_mini"], made_up_names(600), (96, 64), 2)
    labels = torch.stack([sample.gt_sem_seg.data for sample in samples])
    assert inputs.shape == (2, 3, 96, 64)
    assert labels.shape == (2, 1, 96, 64)
    assert labels.unique().numel() <= 8
    assert 0 <= labels.min() <= labels.max() < 600


def test_bytes_of_words(models):
    text = made_up_text(models["dcp_clip_mini"], made_up_names(10))
    assert text_bytes(text) == 10 * 7 * 128 * 4 + 10 * 128 * 4
    assert torch.allclose(text.embeds_TPC.norm(dim=2), torch.ones(10, 7))


def test_an_absent_method_is_named():
    assert by_method(["32", "a=5"], ["a", "b"]) == {"": "32", "a": "5"}
    with pytest.raises(ValueError, match=r"no method here is 'c'"):
        by_method(["c=5"], ["a", "b"])


@pytest.mark.parametrize("step", [[], ["--step", "--batch", "2"]])
def test_tool_gives_json(repo_root, tmp_path, capsys, step):
    tool = runpy.run_path(str(repo_root / "tools" / "analysis" / "speed.py"))
    words = ["--categories", "20", "--kept", "4", "--picture", "96", "96"]
    tool["main"](
        [*TWO, *words, "--rounds", "1", "--warm-up", "0", "--json", str(tmp_path / "a.json"), *step]
    )
    found = json.loads((tmp_path / "a.json").read_text())
    kept = {case["method"]: case.get("kept") for case in found["cases"] if case["words"] == "20"}
    assert kept["cat_seg_mini"] == 20
    assert kept["dcp_clip_mini"] == 4 if not step else 4 <= kept["dcp_clip_mini"] <= 8
    assert found["over_first"][-1]["over"] == "dcp_clip_mini"
    assert "x its encoder alone" in capsys.readouterr().out


def test_tool_on_scenes_selects_for_real(repo_root, tmp_path):
    tool = runpy.run_path(str(repo_root / "tools" / "analysis" / "speed.py"))
    scenes = ["--scenes", "2", "--vocabulary", "mini_20", "--rounds", "1", "--warm-up", "0"]
    tool["main"](["cat_seg_mini", *scenes, "--json", str(tmp_path / "a.json")])
    found = json.loads((tmp_path / "a.json").read_text())
    assert [case["words"] for case in found["cases"]] == ["encoder alone", "mini_20"]


def test_memory_tool_reports_the_words_apart(repo_root, tmp_path, capsys):
    tool = runpy.run_path(str(repo_root / "tools" / "analysis" / "memory.py"))
    words = ["--categories", "30", "--kept", "4", "--size", "96", "96"]
    for mode in ([], ["--step"]):
        tool["main"](["dcp_clip_mini", *words, *mode, "--json", str(tmp_path / "a.json")])
        found = json.loads((tmp_path / "a.json").read_text())
        assert found["bytes"]["text_features"] == 30 * (7 + 1) * 128 * 4
    assert "text features: 0.1 MiB" in capsys.readouterr().out


def test_one_method_under_two_settings(repo_root, tmp_path):
    tool = runpy.run_path(str(repo_root / "tools" / "analysis" / "speed.py"))
    other = "cat_seg_mini,model.selector.k=4"
    flags = ["--categories", "6", "9", "--picture", "96", "96", "--rounds", "1", "--warm-up", "0"]
    tool["main"](["cat_seg_mini", other, *flags, "--json", str(tmp_path / "a.json")])
    found = json.loads((tmp_path / "a.json").read_text())
    kept = {(case["method"], case["words"]): case.get("kept") for case in found["cases"]}
    assert (kept["cat_seg_mini", "9"], kept[other, "9"]) == (9, 4)
    assert [(r["method"], r["words"], r["over"]) for r in found["over_first_words"]] == [
        ("cat_seg_mini", "9", "6"),
        (other, "9", "6"),
    ]

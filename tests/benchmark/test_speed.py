"""Times add up, methods take turns, and a fixed selection keeps what it should."""

from __future__ import annotations

import json

import pytest
import torch

from ovss.benchmark.arguments import by_method, random_model
from ovss.benchmark.clock import Clock, staged
from ovss.benchmark.memory_case import MemoryCase
from ovss.benchmark.speed import Case, race, ratios
from ovss.benchmark.speed_plan import SpeedPlan
from ovss.benchmark.stand_ins import (
    FixedCount,
    has_trainable_text,
    keep_fixed,
    numbered_names,
    random_batch,
    random_image,
    random_text,
    text_bytes,
)
from ovss.cli import main

TWO = ["dcp_clip_mini", "cat_seg_mini"]


@pytest.fixture(scope="module")
def models():
    return {name: random_model(name, None, "cpu")[1] for name in TWO}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch": 0}, "SpeedPlan.batch must be at least 1"),
        ({"categories": [10, 0]}, r"SpeedPlan.categories\[1\] must be at least 1"),
        ({"size": (0, 4)}, "SpeedPlan.height must be at least 1"),
        ({"kept": ["x"]}, "the number of categories to keep, as N or METHOD=N, got 'x'"),
        ({"kept": ["cat_seg_mini=0"]}, "Write an integer of at least 1"),
        ({"categories": []}, "at least one method and one vocabulary size"),
    ],
)
def test_settings_without_a_meaning_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        SpeedPlan(["cat_seg_mini"], **setting)


@pytest.mark.parametrize(
    ("setting", "error"), [({"batch": 0}, ValueError), ({"kept": 0}, ValueError),
                           ({"size": (-1, 4)}, ValueError), ({"categories": "x"}, TypeError)]
)  # fmt: skip
def test_a_memory_case_without_a_meaning_is_refused(setting, error):
    with pytest.raises(error, match="MemoryCase"):
        MemoryCase("cat_seg_mini", {}, **setting)


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (50, 11)])
def test_a_fixed_count_is_kept_after_the_own_selector_ran(models, count, expected):
    model = models["dcp_clip_mini"]
    text = random_text(model, numbered_names(11))
    image = model.encoder.encode_image(random_image((96, 96))[None].repeat(2, 1, 1, 1))
    own = model.selector(image, text)
    fixed = FixedCount(model.selector, count)(image, text)
    assert fixed.valid_BK.sum(1).tolist() == [expected] * 2
    assert torch.equal(fixed.scores_BT, own.scores_BT), "scores of the method's own selector"


def test_a_fixed_count_keeps_the_truth_in_training(models):
    model = models["dcp_clip_mini"]
    text = random_text(model, numbered_names(11))
    image = model.encoder.encode_image(random_image((96, 96))[None])
    truth_1T = torch.zeros(1, 11, dtype=torch.bool)
    truth_1T[0, [6, 10]] = True
    fixed = FixedCount(model.selector, 3).train()(image, text, truth_1T)
    assert fixed.index_BK.tolist() == [[0, 6, 10]]


def test_a_selector_of_a_known_number_is_not_replaced(models):
    with pytest.raises(ValueError, match="ClipTopK keeps a number"):
        keep_fixed(models["cat_seg_mini"], 5)


def test_stages_add_up_to_the_whole(models):
    model, clock = models["dcp_clip_mini"], Clock(torch.device("cpu"))
    text = random_text(model, numbered_names(9))
    own = vars(model.encoder).get("encode_image")

    def run() -> None:
        with staged(model, clock):
            model.scores(random_image((96, 96)), text)

    whole, stages = clock.time(run)
    assert sum(span.wall for span in stages.values()) == pytest.approx(whole.wall)
    assert {"encoder", "selector", "head", "decoder", "rest"} <= set(stages)
    assert vars(model.encoder).get("encode_image") is own, "left as it was"


def test_rounds_take_turns_and_ratios_are_of_the_best():
    order = []

    def case(method: str) -> Case:
        return Case(method, "7", lambda clock: order.append(method))

    cases = [case("a"), case("b")]
    race(cases, rounds=2, warm_up=1, log=lambda line: None)
    assert order == ["a", "b"] * 3
    assert [len(case.spans) for case in cases] == [2, 2]
    (row,) = ratios(cases)
    expected = min(s.wall for s in cases[1].spans) / min(s.wall for s in cases[0].spans)
    assert (row["method"], row["over"], row["wall"]) == ("b", "a", expected)


def test_text_is_encoded_in_a_step_if_its_tower_trains(models):
    assert [has_trainable_text(models[name]) for name in TWO] == [False, True]


def test_made_up_labels_are_of_the_vocabulary(models):
    inputs, samples = random_batch(models["cat_seg_mini"], numbered_names(600), (96, 64), 2)
    labels = torch.stack([sample.gt_sem_seg.data for sample in samples])
    assert inputs.shape == (2, 3, 96, 64)
    assert labels.shape == (2, 1, 96, 64)
    assert labels.unique().numel() <= 8
    assert 0 <= labels.min() <= labels.max() < 600


def test_bytes_of_text_features(models):
    text = random_text(models["dcp_clip_mini"], numbered_names(10))
    assert text_bytes(text) == 10 * 7 * 128 * 4 + 10 * 128 * 4
    assert torch.allclose(text.embeds_TPC.norm(dim=2), torch.ones(10, 7))


def test_an_absent_method_is_named():
    assert by_method(["32", "a=5"], ["a", "b"]) == {"": "32", "a": "5"}
    with pytest.raises(ValueError, match=r"Expected one of \['a', 'b'\], got 'c'"):
        by_method(["c=5"], ["a", "b"])


@pytest.mark.parametrize("step", [[], ["--step", "--batch", "2"]])
def test_the_speed_command_gives_json(tmp_path, capsys, step):
    shape = ["--categories", "20", "--kept", "4", "--size", "96", "96"]
    rounds = ["--rounds", "1", "--warm-up", "0", "--json", str(tmp_path / "a.json")]
    assert main(["benchmark", "speed", *TWO, *shape, *rounds, *step]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    kept = {
        case["method"]: case.get("kept") for case in found["cases"] if case["vocabulary"] == "20"
    }
    assert kept["cat_seg_mini"] == 20
    assert kept["dcp_clip_mini"] == 4 if not step else 4 <= kept["dcp_clip_mini"] <= 8
    assert found["over_first"][-1]["over"] == "dcp_clip_mini"
    assert "x its encoder alone" in capsys.readouterr().out


def test_speed_on_scenes_selects_for_real(tmp_path):
    scenes = ["--scenes", "2", "--vocabulary", "mini_20", "--rounds", "1", "--warm-up", "0"]
    flags = [*scenes, "--json", str(tmp_path / "a.json")]
    assert main(["benchmark", "speed", "cat_seg_mini", *flags]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert [case["vocabulary"] for case in found["cases"]] == ["encoder alone", "mini_20"]


def test_memory_reports_text_features_separately(tmp_path, capsys):
    shape = ["--categories", "30", "--kept", "4", "--size", "96", "96"]
    for mode in ([], ["--step"]):
        flags = [*shape, *mode, "--json", str(tmp_path / "a.json")]
        assert main(["benchmark", "memory", "dcp_clip_mini", *flags]) == 0
        found = json.loads((tmp_path / "a.json").read_text())
        assert found["bytes"]["text_features"] == 30 * (7 + 1) * 128 * 4
    assert "text features: 0.1 MiB" in capsys.readouterr().out


def test_one_method_under_two_settings(tmp_path):
    other = "cat_seg_mini,model.selector.k=4"
    flags = ["--categories", "6", "9", "--size", "96", "96", "--rounds", "1", "--warm-up", "0"]
    flags += ["--json", str(tmp_path / "a.json")]
    assert main(["benchmark", "speed", "cat_seg_mini", other, *flags]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    kept = {(case["method"], case["vocabulary"]): case.get("kept") for case in found["cases"]}
    assert (kept["cat_seg_mini", "9"], kept[other, "9"]) == (9, 4)
    assert [(r["method"], r["vocabulary"], r["over"]) for r in found["over_first_vocabulary"]] == [
        ("cat_seg_mini", "9", "6"),
        (other, "9", "6"),
    ]


def test_another_implementation_is_measured_instead(tmp_path, capsys):
    other = tmp_path / "other.py"
    other.write_text("def predict(model, image_3HW, text):\n    print('its own way')\n")
    command = ["benchmark", "memory", "maskclip_mini", "--categories", "5", "--size", "32", "32"]
    assert main([*command, "--instead", str(other)]) == 0
    assert "its own way" in capsys.readouterr().out
    other.write_text("")
    assert main([*command, "--instead", str(other)]) == 1
    assert "predict(model, image_3HW, text)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["speed", "maskclip_mini", "--weights", "maskclip_mini=none"], "--weights needs --scenes"),
        (["speed", "maskclip_mini", "--given-text"], "--given-text needs --step"),
        (["speed", "maskclip_mini", "maskclip_mini"], "Expected different methods"),
        (["speed", "maskclip_mini,k"], "Expected CONFIG,KEY=VALUE,..., got 'k'"),
        (["memory", "maskclip_mini", "--step", "--instead", "x.py"], "Leave --step out"),
        (["memory", "cat_seg_mini", "--kept", "3"], "ClipTopK keeps a number"),
        (["memory", "cat_seg_mimi"], "Did you mean cat_seg_mini"),
    ],
)
def test_flags_that_do_not_go_together_are_errors(capsys, command, message):
    assert main(["benchmark", *command]) == 1
    assert message in capsys.readouterr().err

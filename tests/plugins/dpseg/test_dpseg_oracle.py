"""Prompts of DPSeg against numbers that are written out."""

from __future__ import annotations

import json

import pytest
import torch
from ovss_plugins.dpseg.bank import VisualPromptBank
from ovss_plugins.dpseg.prompts import VisualPrompts, replace_prompts


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.75])
def test_new_prompts_enter_with_the_weight_alpha(alpha):
    old = torch.tensor([[[3.0, 0.0]], [[0.0, 5.0]], [[0.0, 0.0]]])
    visual = VisualPrompts(old, (2 * old,), torch.tensor([True, True, False]))
    new = torch.tensor([[0.0, 7.0], [4.0, 0.0]])
    mixed = replace_prompts(visual, [0, 2], new, (new,), alpha)
    # both have norm 1 before they are mixed; the last category has no prompts to mix with
    assert mixed.embeds_TPC[:, 0].tolist() == [[1 - alpha, alpha], [0, 5], [4, 0]]
    assert mixed.levels[0][:, 0].tolist() == [[1 - alpha, alpha], [0, 10], [4, 0]]
    assert mixed.found_T.tolist() == [True] * 3
    assert torch.equal(visual.embeds_TPC, old), "the prompts before stay as they are"


def test_replacing_needs_no_norm():
    visual = VisualPrompts(torch.tensor([[[3.0, 0.0]]]), (), torch.tensor([True]))
    assert replace_prompts(visual, [0], torch.tensor([[0.0, 7.0]]), ()).embeds_TPC.tolist() == [
        [[0, 7]]
    ]


def test_a_template_gets_its_first_own_prompt_and_others_take_turns(tmp_path):
    """Templates are a, b, c, d; the prompts of the cat are for b, none, b, none, c."""
    templates = ["{} b", None, "{} b", None, "{} c"]
    prompts = [
        {"category": "cat", "template": t, "source": str(i), "part": 0, "row": i}
        for i, t in enumerate(templates)
    ]
    prompts += [
        {"category": "Dog, hound", "template": f"{{}} {t}", "source": t, "part": 0, "row": 5}
        for t in "bc"
    ]
    maker = {"fingerprint": "", "joint_dim": 4, "level_dims": [2], "settings": ""}
    index = {"format": 1, "maker": maker, "prompts": prompts}
    (tmp_path / "index.json").write_text(json.dumps(index))
    bank = VisualPromptBank(tmp_path)
    wanted = [f"{{}} {t}" for t in "abcd"]
    # by place: the first and the fourth template take the prompts for any template in turn
    assert bank.numbers("cat", wanted) == [1, 0, 4, 3]
    assert bank.numbers("dog", wanted) == [5, 5, 6, 6], "without such prompts, all take turns"
    assert "hound" not in bank
    assert "DOG" in bank

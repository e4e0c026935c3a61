"""Parts that fit together: the verdicts of `ovss list --compatible-with`."""

from __future__ import annotations

import json

import pytest

import ovss.testing  # noqa: F401  registers TinyEncoder
from ovss.benchmark.table_jobs import methods_with_weights
from ovss.cli import main
from ovss.models.build import build_model
from ovss.models.compatible import compatible_with
from ovss.models.configs import load_config, shipped_configs
from ovss.models.parts import KINDS, find_parts, parts_misfit
from ovss.proposers.extras import MissingExtraError


@pytest.fixture(autouse=True)
def _few_configs(monkeypatch):
    """Restricts the answers to a few configs, because all of them take a while."""
    names = ("cat_seg_mini", "dcp_clip_mini", "dcp_clip_vit-l14", "maskclip_mini")
    few = {name: path for name, path in shipped_configs().items() if name in names}
    monkeypatch.setattr("ovss.models.compatible.list_configs", lambda: dict(few))


def verdicts(answer):
    return {(v.kind, v.name, config): v for v in answer.verdicts for config in v.configs}


def test_a_component_has_an_answer_for_each_config_that_differs():
    answers = {answer.subject: verdicts(answer) for answer in compatible_with("SpatialDecoder")}
    mini = answers["SpatialDecoder as in dcp_clip_mini"]
    assert not mini["encoder", "OpenCLIPEncoder", "dcp_clip_mini"].problems
    assert not mini["selector", "ClipTopK", "cat_seg_mini"].problems
    assert mini["encoder", "OpenCLIPEncoder", "cat_seg_mini"].problems == (
        "SpatialDecoder expects attention=True, but OpenCLIPEncoder produces attention=False",
    )
    assert any("raw_dim" in p for p in mini["head", "CosineHead", "maskclip_mini"].problems)
    assert "SpatialDecoder as in dcp_clip_vit-l14" in answers
    assert not any(kind == "decoder" for kind, _, _ in mini)


def test_the_verdicts_on_a_method_agree_with_building_it():
    """A part builds in the method exactly if its verdict has no problems."""
    (answer,) = compatible_with("cat_seg_mini")
    expected = verdicts(answer)
    assert expected.keys() >= {("head", "TextGuidedHead", "dcp_clip_mini")}
    block = load_config("cat_seg_mini").model.to_dict()
    block["encoder"]["pretrained"] = None
    other = load_config("dcp_clip_mini").model.to_dict()
    other["encoder"]["pretrained"] = None
    for kind in KINDS:
        verdict = next(
            expected[key] for key in expected if key[0] == kind and key[2] == "dcp_clip_mini"
        )
        if kind == "head":  # a head needs the prompts of its config
            swapped = {**block, kind: other[kind], "prompts": other["prompts"]}
        else:
            swapped = {**block, kind: other[kind]}
        if verdict.problems:
            with pytest.raises(ValueError, match="Incompatible components"):
                build_model(swapped)
        else:
            build_model(swapped)


def test_templates_and_the_whole_view_are_dimensions_too():
    block = load_config("dcp_clip_mini").model.to_dict()
    block["encoder"]["pretrained"] = None
    with pytest.raises(
        ValueError, match="TextGuidedHead expects num_templates=7, but PromptConfig produces"
    ):
        build_model({**block, "prompts": dict(templates="single")})
    blind = dict(mode="slide", size=96, window=96, stride=96, global_view=False)
    with pytest.raises(ValueError, match="TagValidation expects whole_view=True, but Inference"):
        build_model({**block, "inference": blind})


def test_the_parts_of_a_method_fit_each_other():
    configs = {"cat_seg_mini": load_config("cat_seg_mini")}
    parts = find_parts(configs)
    assert [part.kind for part in parts] == list(KINDS)
    assert parts_misfit(parts) == []


def test_the_command_says_what_fits_and_why_not(capsys):
    assert main(["list", "--compatible-with", "CATSegDecoder"]) == 0
    text = capsys.readouterr().out
    assert "CATSegDecoder as in cat_seg_mini\n" in text
    assert "no    TextGuidedHead           CATSegDecoder expects cost_dim=1, but TextGu" in text
    assert main(["list", "--compatible-with", "maskclip_mini", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["subject"] == "maskclip_mini"
    assert any(row["name"] == "DynamicCategorySelector" and row["fits"] for row in answer["parts"])


def test_a_wrong_name_gets_the_closest(capsys):
    assert main(["list", "--compatible-with", "CosineHed"]) == 1
    assert "Did you mean CosineHead?" in capsys.readouterr().err
    assert main(["list", "plugins", "--compatible-with", "CosineHead"]) == 1


def test_a_component_that_no_config_has(monkeypatch):
    (answer,) = compatible_with("TinyEncoder")
    assert answer.subject == "TinyEncoder as in no config"
    found = verdicts(answer)
    assert not found["decoder", "UpsampleDecoder", "maskclip_mini"].problems
    assert found["decoder", "CATSegDecoder", "cat_seg_mini"].problems
    monkeypatch.setattr("ovss.models.compatible.list_configs", lambda: {})
    unknown = r"dimensions of CATSegDecoder are unknown.*Write a config"
    with pytest.raises(LookupError, match=unknown):
        compatible_with("CATSegDecoder")


def test_a_config_file_is_a_method_too(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f"_base_ = {str(shipped_configs()['maskclip_mini'])!r}\n")
    (answer,) = compatible_with(str(file))
    assert answer.subject == str(file)


@pytest.fixture
def without_scikit_image(monkeypatch):
    def missing(module: str, extra: str, user: str):
        raise MissingExtraError(f"{user} needs {module}. Install it with `pip install {extra}`")

    monkeypatch.setattr("ovss.proposers.superpixels.proposer_extra", missing)
    names = ("maskclip_mini", "superpixels_mini")
    few = {name: path for name, path in shipped_configs().items() if name in names}
    monkeypatch.setattr("ovss.models.compatible.list_configs", lambda: dict(few))
    monkeypatch.setattr("ovss.benchmark.table_jobs.shipped_configs", lambda: dict(few))


def test_a_part_whose_package_is_missing_is_left_out(without_scikit_image, capsys):
    assert main(["list", "--compatible-with", "maskclip_mini"]) == 0
    shown = capsys.readouterr()
    assert "note: superpixels_mini is left out: SuperpixelProposer needs skimage" in shown.err
    assert "no    RegionHead " in shown.out
    assert main(["list", "--compatible-with", "superpixels_mini"]) == 1
    assert "error: SuperpixelProposer needs" in capsys.readouterr().err
    notes = []
    assert methods_with_weights(notes.append) == ["maskclip_mini"]
    assert [note.partition(":")[0] for note in notes] == ["superpixels_mini is left out"]


def test_parts_of_encoders_have_no_dimensions_alone():
    with pytest.raises(LookupError, match="SuperpixelProposer is a proposer, which is part of"):
        compatible_with("SuperpixelProposer")

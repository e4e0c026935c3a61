"""Methods that the page offers."""

from __future__ import annotations

import pytest

from ovss.web.methods import list_methods


def test_bundled_methods_come_first_and_the_others_have_a_reason():
    choices = list_methods()
    names = [choice.name for choice in choices]
    assert names[0] == "dcp_clip_mini"
    assert "oracle_mini" not in names
    usable = [choice for choice in choices if not choice.problem]
    assert choices[: len(usable)] == usable
    bundled = [choice.is_bundled for choice in usable]
    assert bundled == sorted(bundled, reverse=True)
    by_name = {choice.name: choice for choice in choices}
    assert by_name["cat_seg_vit-b16"].problem.startswith("no trained weights here: `ovss convert`")
    assert by_name["cat_seg_mini"].published == "CAT-Seg"


def test_photo_models_need_cached_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("ovss.web.methods.cached_weights", lambda model, tag: None)
    (choice,) = list_methods(["naclip_vit-b16"])
    assert choice.problem == (
        "the weights openai of ViT-B-16-quickgelu are not cached: `ovss segment` downloads them"
    )
    monkeypatch.setattr("ovss.web.methods.cached_weights", lambda model, tag: tmp_path)
    (choice,) = list_methods(["naclip_vit-b16"])
    assert not choice.problem
    assert not choice.is_bundled


def test_named_methods_keep_their_order_and_may_have_a_checkpoint(tmp_path):
    file = tmp_path / "trained.safetensors"
    file.write_bytes(b"x")
    choices = list_methods([f"cat_seg_vit-b16={file}", f"naclip_vit-b16={file}", "dcp_clip_mini"])
    names = ["cat_seg_vit-b16", "naclip_vit-b16", "dcp_clip_mini"]
    assert [choice.name for choice in choices] == names
    assert [choice.weights for choice in choices] == [str(file), None, None]
    assert [choice.pretrained for choice in choices] == [None, str(file), None]
    assert not any(choice.problem for choice in choices)


def test_a_saved_model_is_a_method(tmp_path):
    (tmp_path / "config.json").touch()
    (choice,) = list_methods([str(tmp_path)])
    assert (choice.name, choice.problem) == (str(tmp_path), "")


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        (["dcp_clip_min"], FileNotFoundError, "Did you mean dcp_clip_mini"),
        (["dcp_clip_mini=absent.pth"], FileNotFoundError, "absent.pth"),
        (["oracle_mini"], ValueError, "takes its regions from label maps"),
        (["sed_mini", "sed_mini"], ValueError, "sed_mini is named twice"),
    ],
)
def test_wrong_names(names, error, text):
    with pytest.raises(error, match=text):
        list_methods(names)

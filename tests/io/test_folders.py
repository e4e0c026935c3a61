"""Tests that a folder is replaced as a whole, or stays as it is."""

import os

import pytest

from ovss.io.folders import replaced_folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.txt")}


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    folder = tmp_path / "above" / "model"
    for text in ("first", "second"):
        with replaced_folder(folder, lambda: None) as place:
            (place / f"{text}.txt").write_text(text)
            assert not (folder / f"{text}.txt").exists()
        assert content(tmp_path) == {f"above/model/{text}.txt": text}
    assert os.listdir(folder.parent) == ["model"]


@pytest.mark.parametrize("where", ["body", "check", "rename"])
def test_an_error_leaves_the_old_folder(tmp_path, monkeypatch, where):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    rename = os.rename

    def fail_at_new(source, target):
        if str(source).endswith("new"):
            raise OSError("disk")
        rename(source, target)

    def check():
        if where == "check":
            raise OSError("check")

    if where == "rename":
        monkeypatch.setattr(os, "rename", fail_at_new)

    def write():
        with replaced_folder(folder, check) as place:
            (place / "new.txt").write_text("new")
            if where == "body":
                raise OSError("body")

    with pytest.raises(OSError, match=r"body|check|disk"):
        write()
    assert content(tmp_path) == {"model/old.txt": "old"}
    assert os.listdir(tmp_path) == ["model"]

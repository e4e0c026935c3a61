"""Preparation: parallel equals serial, interrupted runs continue, output is complete or absent."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from official_files import SOME, index_png, mask, run, write_image

from ovss.cli import main
from ovss.prepare import RECIPES, SourceError, check_folder, prepare, work
from ovss.prepare.recipe import LabelError
from ovss.prepare.staging import _parse


@pytest.fixture
def source(tmp_path):
    """Six images of COCO; image i shows only thing i, which is class i + 1."""
    for number in range(6):
        add(tmp_path / "s", number)
    return tmp_path / "s"


def add(root, number, value=None):
    write_image(root / f"val2017/{number}.jpg")
    values = np.full((4, 6), number if value is None else value)
    return index_png(root / f"stuffthingmaps/val2017/{number}.png", values)


def contents(folder):
    """All files but the description, whose time and options differ, and its counts."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "dataset.json"
    }
    description = json.loads((folder / "dataset.json").read_text())
    return files, description["splits"], description["census"]


def test_several_processes_give_the_output_of_one(source, tmp_path):
    run("coco_object", source, tmp_path / "one")
    run("coco_object", source, tmp_path / "three", replace(SOME, jobs=3))
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    files = contents(tmp_path / "one")[0]
    assert len(files) == 6 + 6 + 1
    assert not [name for name in files if "manifest" in name or ".lock" in name]
    assert not (tmp_path / "one.partial").exists()


def test_counts(source, tmp_path):
    description = run("coco_object", source, tmp_path / "o").description
    assert description["census"]["val"][:8] == [[0, 0], *[[24, 1]] * 6, [0, 0]]
    val = description["splits"]["val"]
    assert (val["pixels"], val["ignored_pixels"], val["sizes"]) == (144, 0, {"6x4": 6})
    assert (val["official"], val["source"]["masks"]) == (5000, 6)
    assert description["licence"] == RECIPES["coco_object"].licence
    # the hash is computed from labels, not from files: another source with the same labels
    copy = shutil.copytree(source, tmp_path / "copy")
    again = run("coco_object", copy, tmp_path / "p").description["splits"]["val"]
    assert again["labels_sha256"] == val["labels_sha256"]
    add(copy, 5, value=7)
    other = run("coco_object", copy, tmp_path / "q").description["splits"]["val"]
    assert other["labels_sha256"] != val["labels_sha256"]


KILLED = """
import os, signal, sys
from ovss.cli import main
from ovss.prepare.staging import Staging

def add(self, record):
    if len(self.lines) == 3:
        self.file.write('{"split": "val", "key": "0')  # cut short
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, record)

original, Staging.add = Staging.add, add
main(sys.argv[1:])
"""


def test_killed_and_resumed(source, tmp_path):
    """SIGKILL after three images leaves no output folder; the next run converts only the rest."""
    out = tmp_path / "o"
    command = [sys.executable, "-c", KILLED, "prepare", "coco_object", "--allow-partial"]
    command += ["--source", str(source), "--out", str(out), "--jobs", "2", "--quiet"]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists()
    assert not (tmp_path / "o.partial/dataset.json").exists()
    outcome = run("coco_object", source, out)
    assert (outcome.resumed, outcome.made) == (3, 3)
    assert outcome.description["splits"]["val"]["images"] == 6
    assert not list(out.rglob("*.tmp"))
    fresh = run("coco_object", source, tmp_path / "fresh")
    assert contents(out) == contents(fresh.folder)


def stop_after(monkeypatch, count):
    """Fails like a full disk after some images."""
    from ovss.prepare import pool

    calls = []

    def convert(*args):
        if len(calls) == count:
            raise OSError(28, "No space left on device")
        calls.append(args)
        return original(*args)

    original = pool.convert_item
    monkeypatch.setattr(pool, "convert_item", convert)


def test_finished_items_are_converted_again_only_if_they_changed(source, tmp_path, monkeypatch):
    out = tmp_path / "o"
    stop_after(monkeypatch, 4)
    with pytest.raises(OSError, match="No space"):
        run("coco_object", source, out)
    monkeypatch.undo()
    staging = tmp_path / "o.partial"
    add(source, 0, value=9)  # the source has changed
    (staging / "masks/val/1.png").unlink()  # and someone deleted a file
    (staging / "masks/val/2.png").write_bytes(b"half")
    (staging / "masks/val/stray.png").write_bytes(b"left over")
    for folder in (source / "val2017", source / "stuffthingmaps/val2017"):
        next(folder.glob("5.*")).unlink()
    outcome = run("coco_object", source, out)
    assert (outcome.resumed, outcome.made) == (1, 4)
    assert [mask(out, str(n))[0, 0] for n in range(5)] == [10, 2, 3, 4, 5]
    assert not (out / "masks/val/stray.png").exists()
    assert outcome.description["splits"]["val"]["images"] == 5


def test_runs_with_other_options_are_not_mixed(source, tmp_path, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(OSError, match="No space"):
        run("coco_object", source, tmp_path / "o")
    monkeypatch.undo()
    other = replace(SOME, link="copy")
    with pytest.raises(FileExistsError, match=r"link was 'hard' and is now 'copy'"):
        run("coco_object", source, tmp_path / "o", other)
    outcome = run("coco_object", source, tmp_path / "o", replace(other, force=True))
    assert (outcome.resumed, outcome.made) == (0, 6)


def test_complete_folders_are_left_unchanged(source, tmp_path):
    out = tmp_path / "o"
    run("coco_object", source, out)
    stamp = (out / "dataset.json").stat().st_mtime_ns
    assert run("coco_object", source, out).already
    assert (out / "dataset.json").stat().st_mtime_ns == stamp
    for options, match in (
        (replace(SOME, allow_partial=False), "was made from part of the official files"),
        (replace(SOME, splits=("train",)), "has no split 'train'"),
    ):
        with pytest.raises(FileExistsError, match=match):
            run("coco_object", source, out, options)
    with pytest.raises(FileExistsError, match="contains coco_object, not coco_stuff_171"):
        run("coco_stuff_171", source, out, replace(SOME, splits=("val",)))
    (out / "masks/val/3.png").unlink()
    with pytest.raises(FileExistsError, match="5 files in masks/val instead of 6"):
        run("coco_object", source, out)
    assert run("coco_object", source, out, replace(SOME, force=True)).made == 6
    assert mask(out, "3")[0, 0] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o", "s"]


def test_a_failed_forced_run_keeps_the_old_folder(source, tmp_path):
    out = tmp_path / "o"
    run("coco_object", source, out)
    before = contents(out)
    add(source, 3, value=183)
    with pytest.raises(LabelError, match="unexpected values 183"):
        run("coco_object", source, out, replace(SOME, force=True))
    assert contents(out) == before


def test_folders_of_others_are_not_touched(source, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/thesis.tex").write_text("mine")
    for force in (False, True):
        with pytest.raises(FileExistsError, match=r"no dataset\.json.*was left unchanged"):
            run("coco_object", source, tmp_path / "o", replace(SOME, force=force))
    assert (tmp_path / "o/thesis.tex").read_text() == "mine"
    for name in ("p.partial", "q.replaced"):
        shutil.copytree(tmp_path / "o", tmp_path / name)
    for force in (False, True):
        options = replace(SOME, force=force)
        with pytest.raises(FileExistsError, match=r"thesis\.tex and no manifest"):
            run("coco_object", source, tmp_path / "p", options)
        with pytest.raises(FileExistsError, match=r"q\.replaced is in the way"):
            run("coco_object", source, tmp_path / "q", options)
    assert len(list(tmp_path.glob("*/thesis.tex"))) == 3
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert run("coco_object", source, tmp_path / "link").made == 6
    assert (tmp_path / "empty/dataset.json").is_file()


def test_the_source_is_not_replaced(source, tmp_path):
    """The source is recognised in any spelling, because an existing output folder is deleted."""
    (tmp_path / "link").symlink_to(source)
    for out in (source, tmp_path / "none/../s", tmp_path / "link", tmp_path):
        with pytest.raises(ValueError, match="is the source folder or contains it"):
            run("coco_object", source, out)
    assert len(list(source.rglob("*.png"))) == 6


def test_a_folder_created_during_the_run_is_kept(source, tmp_path, monkeypatch):
    from ovss.prepare import pool

    def convert(*args):
        (tmp_path / "o").mkdir(exist_ok=True)
        (tmp_path / "o/thesis.tex").write_text("mine")
        return original(*args)

    original = pool.convert_item
    monkeypatch.setattr(pool, "convert_item", convert)
    with pytest.raises(FileExistsError, match=r"was created by someone else.*o\.partial"):
        run("coco_object", source, tmp_path / "o")
    monkeypatch.undo()
    (tmp_path / "o").rename(tmp_path / "mine")
    assert run("coco_object", source, tmp_path / "o").resumed == 6
    assert (tmp_path / "mine/thesis.tex").is_file()


def test_one_at_a_time(source, tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    import importlib

    from ovss.prepare.staging import Staging

    def install(*args, **options):
        with pytest.raises(BlockingIOError, match="in use by another `ovss prepare`"):
            run("coco_object", source, tmp_path / "x")
        original(*args, **options)

    module = importlib.import_module("ovss.prepare.run")
    original = module.install
    monkeypatch.setattr(module, "install", install)
    run("coco_object", source, tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "x"]

    header = {"name": "x"}
    staging = Staging(tmp_path / "o.partial", header)
    with pytest.raises(BlockingIOError, match=r"another `ovss prepare` .*partial"):
        Staging(tmp_path / "o.partial", header)
    staging.close()
    Staging(tmp_path / "o.partial", header).close()


@pytest.mark.parametrize("link", ["hard", "symlink", "copy"])
def test_images_are_linked(source, tmp_path, link):
    run("coco_object", source, tmp_path / "o", replace(SOME, link=link))
    made, original = tmp_path / "o/images/val/1.jpg", source / "val2017/1.jpg"
    assert made.read_bytes() == original.read_bytes()
    assert made.is_symlink() == (link == "symlink")
    assert made.samefile(original) == (link != "copy")


def test_files_that_cannot_be_linked_are_copied(source, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(work.os, "link", refuse)
    run("coco_object", source, tmp_path / "o")
    made, original = tmp_path / "o/images/val/1.jpg", source / "val2017/1.jpg"
    assert made.read_bytes() == original.read_bytes()
    assert not made.samefile(original)
    assert not list((tmp_path / "o").rglob("*.tmp"))


def test_a_folder_is_checked_again(source, tmp_path, capsys):
    out = tmp_path / "o"
    run("coco_object", source, out)
    assert main(["prepare", "--check", str(out)]) == 0
    assert "all label maps are unchanged" in capsys.readouterr().out
    index_png(out / "masks/val/2.png", np.full((4, 6), 9))
    assert check_folder(out) == ["val: label values have changed since the folder was prepared"]
    index_png(out / "masks/val/2.png", np.zeros((6, 4)))
    broken = out / "images/val/1.jpg"
    content = broken.read_bytes()
    broken.unlink()  # otherwise the source, a hard link, would break too
    broken.write_bytes(content[:-40])
    (out / "masks/val/3.png").unlink()
    (out / "masks/val/4.png").write_bytes(b"")
    problems = check_folder(out)
    assert problems[0] == "val/3: the image or its label map is missing"
    assert "expected 6 label maps, found 5" in problems[1]
    assert "1.jpg cannot be read" in problems[2]
    assert "2.png has (height, width) (6, 4)" in problems[3]
    assert "4.png" in problems[4]
    assert main(["prepare", "--check", str(out)]) == 1
    with pytest.raises(FileNotFoundError, match=r"no dataset\.json"):
        check_folder(source)


def test_many_bad_files_stop_the_run(tmp_path):
    for number in range(30):
        add(tmp_path / "s", number, value=200)
    with pytest.raises(LabelError, match=r"and 15 more.*run the same command again"):
        run("coco_object", tmp_path / "s", tmp_path / "o")


def test_invalid_options(source, tmp_path):
    for options, match in (
        (replace(SOME, splits=("test",)), "no split 'test'; its splits are train, val"),
        (replace(SOME, link="soft"), "expected link to be one of hard, symlink, copy"),
        (replace(SOME, jobs=0), "expected jobs to be at least 1"),
    ):
        with pytest.raises(ValueError, match=match):
            run("coco_object", source, tmp_path / "o", options)
    with pytest.raises(ValueError, match=r"Unknown dataset 'ade20k'\. Did you mean ade20k_"):
        run("ade20k", source, tmp_path / "o")
    with pytest.raises(SourceError, match="train2017"):
        run("coco_stuff_171", source, tmp_path / "o")


def test_command_line(source, tmp_path, capsys):
    assert main(["prepare", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES)
    assert "request_data" in listed
    assert main(["prepare", "--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ade20k_847"]["classes"] == 847
    assert rows["pascal_voc_20b"]["classes"] == 21
    assert rows["coco_stuff_171"]["splits"] == {"train": 118287, "val": 5000}
    assert all(row["licence"] and row["homepage"] for row in rows.values())
    command = ["prepare", "coco_object", "--source", str(source), "--out", str(tmp_path / "o")]
    assert main([*command, "--jobs", "1"]) == 1
    assert "val has 6 labelled images instead of 5000" in capsys.readouterr().err
    assert main([*command, "--jobs", "1", "--allow-partial"]) == 0
    assert "6 images of 1 sizes, 6 of 81 classes occur" in capsys.readouterr().out
    assert main([*command, "--allow-partial"]) == 0
    assert "was complete already" in capsys.readouterr().out
    assert main(["prepare", "coco_object"]) == 1
    assert "found no --source, --out" in capsys.readouterr().err


@pytest.mark.parametrize("planted", [".lock", "manifest.jsonl"])
def test_planted_links_in_the_staging_folder_change_nothing_else(source, tmp_path, planted):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "o.partial").mkdir()
    (tmp_path / "o.partial" / planted).symlink_to(victim)
    with pytest.raises((OSError, ValueError)):
        run("coco_object", source, tmp_path / "o")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("place", ["o.partial", "o.partial/images", "o.partial/images/val"])
def test_nothing_is_deleted_through_linked_folders(tmp_path, place):
    from ovss.prepare.staging import Staging

    (tmp_path / "kept").mkdir()
    for name in ("photo.jpg", ".photo.jpg.tmp"):
        (tmp_path / "kept" / name).write_text("precious")
    if place != "o.partial":
        Staging(tmp_path / "o.partial", {"name": "x"}).close()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match="symbolic link"):
        Staging(tmp_path / "o.partial", {"name": "x"})
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_links_in_a_circle_and_unknown_homes_are_no_source(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for source in (str(loop), "~nobody_of_this_name/data", "a\0b"):
        with pytest.raises((ValueError, OSError), match=r"cityscapes|NUL|not a folder|found no"):
            prepare("cityscapes", source, tmp_path / "o")


@pytest.mark.parametrize("content", ["", "[]", '{"splits": 3}', "[" * 100_000, "\ud800"])
def test_a_damaged_description_is_named(tmp_path, content):
    path = tmp_path / "done/dataset.json"
    path.parent.mkdir()
    path.write_text(content, "utf-8", "surrogatepass")
    with pytest.raises(ValueError, match=r"dataset\.json.*Prepare the folder again"):
        check_folder(path.parent)


def test_damaged_lines_of_the_manifest_are_dropped():
    for line in ("[" * 100_000, "null", '{"sha256": 3}', '{"split": 1, "sha256": "a"}'):
        assert _parse(line) is None

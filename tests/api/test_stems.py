"""Several processes write into one folder, and every result gets files of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ovss.api.stems import Outputs
from ovss.io.files import ensure_writable, write_text

WORKER = """
import json, os, signal, sys, time
from pathlib import Path
from ovss.api.stems import Outputs
from ovss.io.files import write_text

folder, who, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
outputs = Outputs(folder, [], lambda stem: [Path(f"{stem}.json"), Path(f"{stem}.txt")])
for number in range(4):
    source = f"/{who}/{number}.jpg"
    stem = outputs.stem(str(number), source)
    time.sleep(0.02)
    write_text(folder / f"{stem}.txt", source, durable=False)
    if end == "killed" and number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write_text(folder / f"{stem}.json", json.dumps({"image": source}), durable=False)
outputs.release()
"""


def start(folder: Path, who: str, end: str = "normal") -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), who, end])


def sources(folder: Path) -> list[str]:
    found = [json.loads(path.read_text())["image"] for path in folder.glob("*.json")]
    for path in folder.glob("*.json"):
        assert path.with_suffix(".txt").read_text() == json.loads(path.read_text())["image"]
    return sorted(found)


def test_no_result_of_concurrent_runs_is_lost(tmp_path):
    names = ("a", "b", "c")
    for process in [start(tmp_path, who) for who in names]:
        assert process.wait(60) == 0
    assert sources(tmp_path) == sorted(f"/{who}/{n}.jpg" for who in names for n in range(4))
    assert len(os.listdir(tmp_path)) == 24, "no reservation is left"


def test_a_killed_run_blocks_no_later_one(tmp_path):
    assert start(tmp_path, "a", "killed").wait(60) == -signal.SIGKILL
    assert any(name.endswith(".ovss.tmp") for name in os.listdir(tmp_path))
    assert start(tmp_path, "a").wait(60) == 0
    # 2.txt had no summary that names its source, so it is kept as a foreign file
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        *("0.json", "1.json", "2_2.json", "3.json")
    ]
    ensure_writable(tmp_path)
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))


def test_a_stem_in_use_is_passed_over_and_the_own_one_is_used_again(tmp_path):
    def files(stem):
        return [Path(f"{stem}.json")]

    first, second = (Outputs(tmp_path, [], files) for _ in range(2))
    assert first.stem("photo", "/a/photo.jpg") == "photo"
    assert second.stem("Photo", "/b/Photo.jpg") == "Photo_2"
    second.release()
    write_text(tmp_path / "photo.json", json.dumps({"image": "/a/photo.jpg"}))
    first.release()
    third = Outputs(tmp_path, [], files)
    assert third.stem("photo", "/a/photo.jpg") == "photo"
    third.release()
    assert os.listdir(tmp_path) == ["photo.json"]


def test_a_dangling_link_is_a_foreign_file(tmp_path):
    (tmp_path / "photo.json").symlink_to(tmp_path / "nowhere")
    outputs = Outputs(tmp_path, [], lambda stem: [Path(f"{stem}.json")])
    assert outputs.stem("photo", "/a/photo.jpg") == "photo_2"
    outputs.release()


def test_an_input_is_not_overwritten_even_if_an_earlier_run_made_it(tmp_path):
    def files(stem):
        return [Path(f"{stem}.json"), Path(f"{stem}_overlay.png")]

    folder, link = tmp_path / "outputs", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    write_text(folder / "photo.json", json.dumps({"image": "/a/photo.jpg"}))
    write_text(folder / "photo_overlay.png", "pixels")
    for place in (folder, link):
        again = Outputs(place, [], files)
        assert again.stem("photo", "/a/photo.jpg") == "photo"
        again.release()
        outputs = Outputs(place, [folder / "photo_overlay.png"], files)
        assert outputs.stem("photo", "/a/photo.jpg") == "photo_2"
        outputs.release()


def test_the_outputs_of_another_image_are_kept(tmp_path):
    for content in ('{"image": "/b/photo.jpg"}', '{"video": "/b/photo.mp4"}', "{}", "[]", "{"):
        write_text(tmp_path / "photo.json", content)
        outputs = Outputs(tmp_path, [], lambda stem: [Path(f"{stem}.json")])
        assert outputs.stem("photo", "/a/photo.jpg") == "photo_2"
        outputs.release()

"""`ovss label`: every kind of input, resuming, refusals and bad images."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pyarrow", reason="needs the extra label")
pytest.importorskip("pycocotools", reason="needs the extra label")

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ovss import Inferencer
from ovss.api.request import Request
from ovss.labelling.settings import LabelSettings
from tests.labelling.runs import (
    WORDS,
    inline,
    label,
    label_map_of,
    make_photos,
    masks_of,
    rows_of,
    shard_bytes,
)


@pytest.fixture
def in_process(monkeypatch, one_thread):
    """Computes in this process, for tests that are not about worker processes."""
    monkeypatch.setattr("ovss.cli.label._engine", inline)


@pytest.fixture
def one_thread():
    """One thread of computation, as workers have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder with ten photos and a finished run of them in `labels`."""
    folder = tmp_path_factory.mktemp("whole")
    make_photos(folder / "photos")
    assert label(str(folder / "photos"), "--out", str(folder / "labels")) == 0
    return folder


@pytest.fixture
def photos(whole, tmp_path, monkeypatch):
    """Working directory with the photos of `whole`."""
    monkeypatch.chdir(tmp_path)
    os.symlink(whole / "photos", "photos")
    return [tmp_path / "photos" / path for path in images_in_order(whole)]


def images_in_order(whole: Path) -> list[str]:
    return [
        str(Path(row["path"]).relative_to(whole / "photos")) for row in rows_of(whole / "labels")
    ]


@pytest.mark.usefixtures("one_thread")
def test_rows_hold_what_the_model_answers(whole):
    inferencer, rows = Inferencer("maskclip_mini", device="cpu"), rows_of(whole / "labels")
    assert [row["image_id"] for row in rows] == list(range(10))
    assert len({row["key"] for row in rows}) == 10
    for row in rows:
        result = inferencer(row["path"], WORDS)
        assert (label_map_of(row) == result.label_map).all()
        assert (row["height"], row["width"], row["status"]) == (64, 64, "ok")
        content = result.label_map.astype("<i4").tobytes()
        assert row["label_map_sha256"] == hashlib.sha256(content).hexdigest()
        found = {segment["category"]: segment for segment in row["segments"]}
        assert list(found) == sorted(result.present_indices)
        for index, segment in found.items():
            assert segment["area"] == result.pixels[index]
            assert segment["score"] == pytest.approx(float(result.scores[index]))


def test_the_manifest_names_every_file_with_its_hash(whole):
    manifest = json.loads((whole / "labels" / "manifest.json").read_text())
    assert manifest["complete"]
    assert (manifest["images"], manifest["labelled"], manifest["errors"]) == (10, 10, 0)
    assert [entry["images"] for entry in manifest["shards"]] == [3, 3, 3, 1]
    for entry in manifest["shards"]:
        content = (whole / "labels" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    metadata = json.loads(pq.read_schema(whole / "labels" / entry["file"]).metadata[b"ovss"])
    keys = ("model", "weights_sha256", "config_sha256", "vocabulary_sha256", "plan_sha256", "ovss")
    assert {key: metadata[key] for key in keys} == {key: manifest[key] for key in keys}


@pytest.mark.usefixtures("in_process")
def test_lists_and_parquet_files_give_the_same_masks(photos, whole):
    expected = masks_of(rows_of(whole / "labels"))
    names = [str(path) for path in photos]
    Path("list.txt").write_text("\n".join(["", *names, names[0], ""]))
    pq.write_table(pa.table({"id": list(range(10)), "image": names}), "paths.parquet")
    content = [path.read_bytes() for path in photos]
    structs = [{"bytes": data, "path": "x.png"} for data in content]
    pq.write_table(pa.table({"image": structs}), "structs.parquet", row_group_size=4)
    table = pa.table({"name": [f"photo {i}" for i in range(10)], "data": content})
    pq.write_table(table, "bytes.parquet", row_group_size=7)
    sources = ("list.txt", "paths.parquet", "structs.parquet", "bytes.parquet")
    for source in sources:
        key = ("--key", "name") if source == "bytes.parquet" else ()
        assert label(source, "--out", source + ".out", *key) == 0
        assert masks_of(rows_of(source + ".out")) == expected
    assert [row["key"] for row in rows_of("bytes.parquet.out")][3] == "photo 3"
    assert [row["row"] for row in rows_of("structs.parquet.out")] == list(range(10))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.usefixtures("in_process")
def test_addresses_are_downloaded_and_missing_ones_are_rows(photos, whole):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/photos"
    addresses = [f"{base}/{name}" for name in images_in_order(whole)]
    pq.write_table(pa.table({"url": [*addresses, f"{base}/none.png", None]}), "urls.parquet")
    try:
        assert label("urls.parquet", "--out", "out") == 3
    finally:
        server.shutdown()
    rows = rows_of("out")
    assert masks_of(rows[:10]) == masks_of(rows_of(whole / "labels"))
    assert [row["error"] for row in rows[10:]] == [
        "the server answered 404 (File not found)",
        "the list has neither a path nor an address here",
    ]


@pytest.mark.usefixtures("in_process")
def test_bad_images_are_rows_and_can_be_computed_again(photos, capsys):
    names = [os.path.realpath(path) for path in photos[:4]]
    Path("cut.png").write_bytes(photos[0].read_bytes()[:300])
    Path("text.jpg").write_text("no image")
    wide = Image.new("L", (20000, 6000))
    wide.save("large.png")
    Path("list.txt").write_text(
        "\n".join([*names, "cut.png", "absent.png", "text.jpg", "large.png"])
    )
    assert label("list.txt", "--out", "out") == 3
    assert "8 of 8 images" in capsys.readouterr().out
    rows = rows_of("out")
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["error"] * 4
    assert all(row["segments"] == [] and row["height"] is None for row in rows[4:])
    assert [row["error"][:22] for row in rows[4:7]] == [
        "cannot be read (image ",
        "no such file",
        "not an image that Pill",
    ]
    assert "20000 x 6000 pixels" in rows[7]["error"]
    Path("absent.png").write_bytes(photos[4].read_bytes())
    before = shard_bytes("out")
    assert label("list.txt", "--out", "out") == 3
    assert shard_bytes("out") == before
    assert label("list.txt", "--out", "out", "--retry-errors") == 3
    again = rows_of("out")
    assert again[:5] == rows[:5]
    assert again[5]["status"] == "ok"
    assert again[6:] == rows[6:]


def test_a_run_is_resumed_and_says_what_it_skips(whole, capsys):
    folder = whole / "labels"
    before = shard_bytes(folder)
    (folder / "shards" / "shard-000001.parquet").unlink()
    (folder / "shards" / "shard-000003.parquet").write_bytes(before["shard-000003.parquet"][:99])
    assert label("--status", str(folder)) == 1
    assert "6 of 10 images labelled" in capsys.readouterr().out
    assert label(str(whole / "photos"), "--out", str(folder), "--workers", "2") == 0
    printed = capsys.readouterr().out
    assert "resuming: 2 shards with 6 images are finished, 2 to compute here" in printed
    assert shard_bytes(folder) == before


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--words", "cat, dog"), "categories"),
        (("--model", "naclip_mini"), "model 'maskclip_mini' instead of 'naclip_mini'"),
        (("--threshold", "0.3"), "threshold 0.0 instead of 0.3"),
        (("--background", "sky"), "background"),
        (("--cfg-options", "model.encoder.pretrained=None"), "config_sha256"),
        (("--cfg-options", "model.inference.views_per_batch=1"), "config_sha256"),
        (("--shard-size", "5"), "shards of 3 images instead of 5"),
        (("--root", "x"), "root"),
        (("--threads", "2"), "threads 1 instead of 2"),
    ],
)
def test_another_run_is_refused_in_one_line(whole, capsys, flags, reason):
    from ovss.cli import main
    from tests.labelling.runs import MODEL

    folder = str(whole / "labels")
    command = ["label", str(whole / "photos"), "--out", folder, *MODEL, *flags]
    if flags[0] == "--words":
        command = [part for part in command if part not in ("--words", WORDS)][:4]
        command += ["--model", "maskclip_mini", *flags]
    assert main(command) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert line.startswith(f"error: {folder}: this folder holds ")
    assert reason in line
    assert line.endswith("Choose another output folder with --out DIR.")


@pytest.mark.usefixtures("in_process")
def test_other_inputs_are_refused(photos, whole, capsys):
    Path("list.txt").write_text(str(photos[0]))
    assert label("list.txt", "--out", "out") == 0
    Path("list.txt").write_text(str(photos[1]))
    assert label("list.txt", "--out", "out") == 1
    assert "made before" in capsys.readouterr().err
    assert label("photos", "--out", "out") == 1


@pytest.mark.parametrize(
    ("content", "flags", "reason"),
    [
        ({"a": ["x.png"], "b": ["y.png"]}, (), "found several: a, b"),
        ({"a": [1], "b": ["text"]}, (), "found none of a, b"),
        ({"a": ["x.png"]}, ("--column", "c"), "expected the column 'c', found a"),
        ({"a": [1]}, ("--column", "a"), "found int64"),
        ({"a": ["x.png", "y.png"]}, (), "none of its first paths exists"),
        ({"u": ["http://h/a", "http://h/b"], "k": ["1", "1"]}, ("--key", "k"), "'1' twice"),
    ],
)
def test_parquet_files_that_do_not_fit_are_one_line(here, capsys, content, flags, reason):
    pq.write_table(pa.table(content), "list.parquet")
    assert label("list.parquet", "--out", "out", *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_damaged_lists_and_missing_words_are_one_line(here, capsys):
    from ovss.cli import main

    Path("list.parquet").write_text("no parquet")
    assert label("list.parquet", "--out", "out") == 1
    assert "cannot be read as parquet" in capsys.readouterr().err
    assert label("absent/*.parquet", "--out", "out") == 1
    assert label("--status", ".") == 1
    with pytest.raises(SystemExit, match="2"):
        main(["label", "photos", "--out", "out"])


@pytest.mark.usefixtures("in_process")
def test_parts_of_the_shards_make_the_whole(whole, tmp_path):
    out = tmp_path / "out"
    for part in range(3):
        status = label(str(whole / "photos"), "--out", str(out), "--shards", f"{part}/3")
        assert status == 0
    assert shard_bytes(out) == shard_bytes(whole / "labels")
    assert json.loads((out / "manifest.json").read_text())["complete"]


@pytest.mark.usefixtures("in_process")
def test_random_weights_are_the_same_in_every_worker(whole, tmp_path):
    for name in ("a", "b"):
        arguments = (
            "--out",
            str(tmp_path / name),
            "--cfg-options",
            "model.encoder.pretrained=None",
        )
        assert label(str(whole / "photos"), *arguments) == 0
    assert shard_bytes(tmp_path / "a") == shard_bytes(tmp_path / "b")


@pytest.mark.usefixtures("in_process")
def test_a_saved_model_labels_wherever_it_lies(whole, tmp_path, capsys):
    Inferencer("maskclip_mini", device="cpu").save_pretrained(tmp_path / "first")
    arguments = (str(whole / "photos"), "--out", str(tmp_path / "out"))
    assert label(*arguments, model=str(tmp_path / "first")) == 0
    assert masks_of(rows_of(tmp_path / "out")) == masks_of(rows_of(whole / "labels"))
    (tmp_path / "first").rename(tmp_path / "second")
    assert label(*arguments, model=str(tmp_path / "second")) == 0
    assert "resuming: 4 shards" in capsys.readouterr().out


def test_workers_in_other_folders_find_the_files_of_the_model(here):
    for name in ("own.py", "w.safetensors", "maskclip_mini"):
        Path(name).touch()
    found = LabelSettings(Request(("cat",)), "own.py", "w.safetensors", "openai").absolute()
    paths = (str(here / "own.py"), str(here / "w.safetensors"), "openai")
    assert (found.model, found.weights, found.pretrained) == paths
    assert LabelSettings(Request(("cat",)), "sed_mini").absolute().model == "sed_mini"


@pytest.mark.usefixtures("in_process")
def test_images_of_any_size_and_kind_have_rows(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, size in (("dot", (1, 1)), ("line", (300, 1)), ("column", (1, 300))):
        Image.new("RGB", size).save(folder / f"{name}.png")
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(folder / "deep.png")
    status = label(str(folder), "--out", str(tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 4
    assert status == (3 if any(row["error"] for row in rows) else 0)


@pytest.mark.parametrize(
    ("module", "flags", "extra"),
    [("pyarrow", (), "ovss[label]"), ("ray", ("--engine", "ray"), "ovss[ray]")],
)
def test_a_missing_extra_is_one_line(here, capsys, monkeypatch, module, flags, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert label("photos", "--out", "out", *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"pip install '{extra}'" in line
    assert not Path("out").exists()

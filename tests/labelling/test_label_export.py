"""Conversions of a run, and the estimate of one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pyarrow", reason="needs the extra label")
pytest.importorskip("pycocotools", reason="needs the extra label")

import pyarrow as pa
import pyarrow.parquet as pq

from ovss import Inferencer
from ovss.api.coco import CocoWriter
from ovss.cli import main
from ovss.labelling.export import decode_row, result_of_row
from ovss.labelling.job import read_job
from tests.labelling.runs import MODEL, WORDS, inline, label, make_photos, rows_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder with photos, one of them bad, and a finished run in `labels`."""
    folder = tmp_path_factory.mktemp("run")
    make_photos(folder / "photos", 5)
    (folder / "photos" / "bad.png").write_text("no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ovss.cli.label._engine", inline)
        assert label(str(folder / "photos"), "--out", str(folder / "labels")) == 3
    return folder


def export(run: Path, formats: str, out: Path) -> int:
    return main(["label", "--export", formats, str(run / "labels"), str(out)])


@pytest.mark.parametrize("rle", [False, True], ids=["polygons", "masks"])
def test_coco_files_are_those_of_segment(run, tmp_path, capsys, rle):
    assert export(run, "coco-rle" if rle else "coco", tmp_path) == 0
    assert "left out: 1" in capsys.readouterr().out
    content = json.loads((tmp_path / ("coco_rle.json" if rle else "coco.json")).read_text())
    inferencer = Inferencer("maskclip_mini", device="cpu")
    rows = [row for row in rows_of(run / "labels") if row["status"] == "ok"]
    writer = CocoWriter("unused.json", WORDS.split(","), rle=rle)
    for row in rows:
        writer.add(inferencer(row["path"], WORDS), row["key"])
    expected = writer.content()
    ids = {i + 1: row["image_id"] + 1 for i, row in enumerate(rows)}
    for item in expected["images"]:
        item["id"] = ids[item["id"]]
    for item in expected["annotations"]:
        item["image_id"] = ids[item["image_id"]]
    scores = [[item.pop("score") for item in part["annotations"]] for part in (content, expected)]
    assert np.allclose(*scores, atol=2e-6)
    assert content == expected


def test_files_of_images_are_those_of_segment(run, tmp_path):
    formats = ("labels", "json", "labelme", "voc", "overlay")
    assert export(run, ",".join(formats), tmp_path) == 0
    inferencer = Inferencer("maskclip_mini", device="cpu")
    for row in rows_of(run / "labels"):
        stem = Path(row["path"]).stem
        if row["status"] == "error":
            assert not list(tmp_path.rglob(f"{stem}*"))
            continue
        result = inferencer(row["path"], WORDS)
        paths = result.save(tmp_path / "expected", stem, formats)
        for path in paths:
            found = tmp_path / path.relative_to(tmp_path / "expected")
            if path.suffix == ".png":
                assert (np.asarray(Image.open(found)) == np.asarray(Image.open(path))).all()
        summaries = [
            json.loads((f / f"{stem}.json").read_text()) for f in (tmp_path, paths[0].parent)
        ]
        assert summaries[0]["categories"] == [
            {**item, "mean_score": pytest.approx(item["mean_score"], abs=2e-6)}
            for item in summaries[1]["categories"]
        ]
        assert summaries[0]["note"] == summaries[1]["note"] != ""


def test_images_in_parquet_files_are_embedded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("ovss.cli.label._engine", inline)
    photo = (run / "photos" / "0.png").read_bytes()
    pq.write_table(pa.table({"image": [photo, photo]}), tmp_path / "two.parquet")
    assert label(str(tmp_path / "two.parquet"), "--out", str(tmp_path / "labels")) == 0
    assert export(tmp_path, "labelme", tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out" / "labelme").iterdir())
    assert names == ["two_0.json", "two_1.json"]
    assert json.loads((tmp_path / "out" / "labelme" / names[0]).read_text())["imageData"]


def test_damaged_masks_and_unfinished_runs_are_noticed(run, tmp_path, capsys):
    row = next(row for row in rows_of(run / "labels") if row["status"] == "ok")
    assert decode_row(row).shape == (64, 64)
    row["segments"] = row["segments"][1:]
    with pytest.raises(ValueError, match="damaged"):
        decode_row(row)
    shard = run / "labels" / "shards" / "shard-000000.parquet"
    content = shard.read_bytes()
    shard.unlink()
    try:
        assert export(run, "json", tmp_path / "out") == 1
    finally:
        shard.write_bytes(content)
    assert "3 images have no labels yet" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["label", "--export", "json", str(run / "labels")])
    assert main(["label", "--export", "json", str(tmp_path), str(tmp_path / "x")]) == 1


def test_an_estimate_measures_a_sample_and_leaves_no_files(run, tmp_path, monkeypatch, capsys):
    import tempfile

    import torch

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = torch.get_num_threads()
    command = ["label", str(run / "photos"), *MODEL, "--estimate", "--workers", "2"]
    try:
        assert main(command) == 0
        text = capsys.readouterr().out
        assert main([*command, "--json", "--sample", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    assert "images            6" in text
    estimate = json.loads(capsys.readouterr().out)
    assert estimate["images"] == 6
    assert 0 < estimate["model_seconds"] < estimate["seconds"]
    hours = estimate["hours_by_machines"]
    assert hours["1"] == pytest.approx(6 * estimate["seconds"] / 2 / 3600)
    assert hours["4"] == pytest.approx(hours["1"] / 4)
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_run_from_elsewhere_are_checked(run, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run / "labels", copy)
    record = json.loads((copy / "run.json").read_text())
    for content in (b"{", b"[]", b"null", json.dumps({**record, "plan_sha256": "x"}).encode()):
        (copy / "run.json").write_bytes(content)
        assert main(["label", "--status", str(copy)]) == 1
    record["identity"]["categories"] = 5
    (copy / "run.json").write_text(json.dumps(record))
    assert main(["label", "--export", "json", str(copy), str(tmp_path / "x")]) == 1
    (copy / "plan.parquet").write_bytes(b"no parquet")
    assert main(["label", "--status", str(copy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("error: ") for line in lines)


def test_damaged_masks_and_unknown_categories_are_refused(run):
    row = next(row for row in rows_of(run / "labels") if row["status"] == "ok")
    with pytest.raises(ValueError, match="categories 0 to 4, found 9"):
        result_of_row(read_job(run / "labels"), {**row, "segments": [{"category": 9, "score": 1}]})
    row["segments"][0]["counts"] = "OOOO"
    with pytest.raises(ValueError, match="damaged"):
        decode_row(row)

"""The table of methods: metrics of the curve (those of `ovss test`), stored rows, weights."""

from __future__ import annotations

import json

import pytest

from ovss.benchmark import table
from ovss.benchmark.images import open_dataset
from ovss.benchmark.row_checks import read_rows
from ovss.benchmark.selection import curve
from ovss.benchmark.table import measure_row, run
from ovss.benchmark.table_jobs import Job, methods_with_weights, plan
from ovss.cli import main
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config

RANDOM = "maskclip_mini,model.encoder.pretrained=None"


def test_an_unknown_dataset_is_refused_before_anything_is_measured():
    with pytest.raises(FileNotFoundError, match="absent"):
        plan(["cat_seg_mini"], ["mini_20", "absent"], 2)


@pytest.fixture(scope="module")
def row():
    return measure_row(plan(["cat_seg_mini"], ["mini_20"], 2)[0])


def test_a_row_is_what_the_curve_says(row):
    config = load_config("cat_seg_mini")
    model = build_segmentor(config)
    (point,) = curve(config, model, open_dataset(config, "mini_20", 2), images=2)
    expected = point.as_dict()
    for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU", "categories", "images"):
        assert row[key] == expected[key]
    assert row["kept"] == 20
    assert row["gflops"] == pytest.approx(2 * expected["gmacs_per_image"])
    assert row["parameters"] == sum(p.numel() for p in model.parameters())
    assert 0 < row["learnable"] < row["parameters"]
    assert row["seconds"] > 0


def test_finished_rows_are_not_made_again(row, tmp_path, monkeypatch):
    made = []

    def pretend(job):
        if job.data == "mini_556":
            raise MemoryError("full")
        made.append(job.data)
        return {**row, "job": table.asdict(job)}

    monkeypatch.setattr(table, "_measure_in_process", pretend)
    file = tmp_path / "rows.json"
    jobs = plan([RANDOM], ["mini_20", "mini_150", "mini_556"], 2)
    with pytest.raises(MemoryError):
        run(jobs, file)
    assert len(json.loads(file.read_text())["rows"]) == 2
    rows = run(jobs[:2], file)
    assert made == ["mini_20", "mini_150"]
    assert [found["job"]["data"] for found in rows] == made
    run(jobs[:1], file, again=True)
    assert made == ["mini_20", "mini_150", "mini_20"]
    changed = plan([RANDOM + ",model.decoder.scale=50"], ["mini_20"], 2)
    other = plan([RANDOM], ["mini_20"], 3)
    run([*changed, *other], file)
    assert len(made) == 5, "other settings and other images are other rows"
    assert {path.name for path in tmp_path.iterdir()} <= {"rows.json", ".rows.json.lock"}


def test_a_file_of_something_else_is_left_alone(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text('{"points": []}')
    with pytest.raises(ValueError, match="does not hold rows of this table"):
        run([], file)
    assert file.read_text() == '{"points": []}'


def test_methods_without_weights_are_named(tmp_path):
    no = "cat_seg_mini,weights=None"
    with pytest.raises(ValueError, match=r"found none for cat_seg_mini,weights=None\. Name"):
        plan([RANDOM, no], ["mini_20"], 2)
    (job,) = plan([no], ["mini_20"], 2, {no: "none"})
    assert job.weights == "none"
    with pytest.raises(FileNotFoundError, match=r"Checkpoint .* does not exist"):
        plan([no], ["mini_20"], 2, {"": str(tmp_path / "gone.safetensors")})


def test_rows_change_with_the_weights_file(tmp_path):
    from ovss.models.weights import WEIGHTS_DIR

    content = (WEIGHTS_DIR / "cat_seg_mini.safetensors").read_bytes()
    file = tmp_path / "mine.safetensors"
    marks = []
    for text in (content, content[::-1]):
        file.write_bytes(text)
        marks += plan(["cat_seg_mini"], ["mini_20"], 2, {"cat_seg_mini": str(file)})
    assert marks[0] != marks[1]
    assert marks[0] == Job(**table.asdict(marks[0]))


def test_by_default_what_has_weights_takes_part():
    found = methods_with_weights()
    assert {"cat_seg_mini", "dcp_clip_mini", "maskclip_mini", "cat_seg_dcs_mini"} <= set(found)
    assert not any("vit" in name or "camvid" in name for name in found)


def test_the_command_in_a_process_of_its_own(tmp_path, capfd):
    file, page = tmp_path / "rows.json", tmp_path / "table.md"
    flags = ["--on", "mini_20", "--scenes", "1", "--json", str(file), "--markdown", str(page)]
    for _ in range(2):
        assert main(["benchmark", "table", RANDOM, *flags]) == 0
    output = capfd.readouterr().out
    assert (
        "[1/1] maskclip_mini,model.encoder.pretrained=None on mini_20: already measured" in output
    )
    (row,) = json.loads(file.read_text())["rows"]
    assert row["categories"] == 20
    text = page.read_text()
    assert text.startswith("`ovss benchmark table maskclip_mini,model.encoder.pretrained=None")
    assert "| mini_20 | `maskclip_mini` |" in text
    assert "torch" in text.splitlines()[-1]
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mIoU": 99.9, "mIoU_seen": 10, "mIoU_unseen": 20, "hIoU": 13.3333}, "not between"),
        ({"mIoU": 15, "mIoU_seen": 10, "mIoU_unseen": 20, "hIoU": 15}, "has hIoU 15, but its"),
        ({"mIoU": True}, "has mIoU 'True', which is not in 0..100"),
        ({"mIoU": "12"}, "has mIoU '12', which is not in 0..100"),
        ({"hIoU": -1}, "has hIoU '-1', which is not in 0..100"),
        ({"images": -3}, "has images '-3', which is not a count"),
        ({"seconds": []}, r"has seconds '\[\]', which is not a number"),
        ({"seconds": float("nan")}, "holds NaN"),
        ({"learnable": 10**15}, "learnable of"),
        ({"clock": "x"}, "has clock 'x'"),
        ({"made_with": {}}, "other keys in made_with"),
        ({"job": {"method": "x"}}, "has a job without data"),
        ({"images": 3}, "has 3 images, more than the 2 of its job"),
    ],
)
def test_a_row_that_cannot_have_been_measured_is_refused(row, tmp_path, change, message):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"rows": [row]}))
    assert read_rows(file) == [row]
    file.write_text(json.dumps({"rows": [{**row, **change}]}))
    with pytest.raises(ValueError, match=message) as caught:
        run([], file)
    assert "rows.json" in str(caught.value)
    assert "Choose another file" in str(caught.value)

"""Result files: written files are read back, anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mmengine.config import Config

from ovss.io.hashing import short_hash
from ovss.models.config_text import dump_config, read_config_text
from ovss.models.configs import load_config, shipped_configs
from ovss.protocols.named import find_protocol
from ovss.protocols.protocol import Protocol
from ovss.protocols.settled import settle_protocol
from ovss.results.result_file import ProtocolRecord, ResultError, read_result, write_result
from tests.results.made_result import made_result, protocol_of_fields


def test_what_is_written_is_read(tmp_path):
    result = made_result()
    write_result(tmp_path / "deep" / "r.json", result)
    assert read_result(tmp_path / "deep" / "r.json") == result
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["r.json"]
    content = json.loads((tmp_path / "deep" / "r.json").read_text())
    assert content["data"]["pictures"] == result.data.images, "files keep their keys"
    assert content["run"]["seconds_per_picture"] == result.run.seconds_per_image


def test_a_file_of_format_1_has_its_second_hash_computed(tmp_path):
    path, result = tmp_path / "r.json", made_result()
    write_result(path, result)
    settled = settle_protocol(load_config("cat_seg_mini"))
    fields = {**settled.fields, "data": None}
    old = {"name": "mini", "hash": short_hash(fields), "fields": fields}
    changed(path, schema=1, protocol=old)
    expected = ProtocolRecord("mini", settled.method_hash, short_hash(fields), fields)
    assert read_result(path) == replace(result, protocol=expected)
    assert settled.fields["prompts"]["synonyms"] == "none"
    assert settled.method_hash == Protocol(find_protocol("mini").template.plain()).full_hash
    changed(path, protocol={"name": "mini", "fields": {}})
    with pytest.raises(ResultError, match=r"'protocol' in .* lacks method_hash, full_hash"):
        read_result(path)


def test_a_metric_that_is_not_a_number_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.json"
    write_result(path, made_result())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_result(path, made_result(metrics={"mIoU": float("nan")}))
    assert path.read_bytes() == before


def changed(path, **change) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "truncated or not JSON"),
        (lambda path: path.write_text('{"summary": {}}'), "is not a result file. Give a file"),
        (lambda path: path.write_text("[1, 2]"), "is not a result file"),
        (
            lambda path: changed(path, schema=3),
            r"format 3, written by ovss 0\.1\.0.*reads formats 1 and 2",
        ),
        (lambda path: changed(path, data=None), "'data' in .* must be an object"),
        (lambda path: changed(path, data={"name": "x"}), "'data' in .* lacks folder, pictures"),
        (lambda path: changed(path, extra=1), "has unknown extra"),
        (lambda path: changed(path, headline="mIou"), "quotes the metric 'mIou', which is not"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path, break_it, message):
    path = tmp_path / "r.json"
    write_result(path, made_result())
    break_it(path)
    with pytest.raises(ResultError, match=message) as caught:
        read_result(path)
    assert "r.json" in str(caught.value)


EDITS = {
    "metrics.mIoU=99.9": "records mIoU 99.9, but its per-class rows give 31.25",
    "metrics.mIoU=31.2501": "records mIoU 31.2501, but",
    "metrics.hIoU=1": "records hIoU 1, but its per-class rows give null",
    "metrics.mIoU=null": "records mIoU null, but",
    "metrics.mIoU=true": "metrics of .* at 'mIoU' must be a number or null, got True",
    'metrics.mIoU="31.25"': "metrics of .* at 'mIoU' must be a number or null, got '31.25'",
    "metrics.mIoU=NaN": "holds NaN, which is not a number of JSON",
    "metrics.mIoU=1e999": "holds the number 1e999, which is too large",
    "metrics.f1=3": "records an unknown metric 'f1'; expected mIoU",
    "categories=[]": r"categories of .* must be an object, got \[\]",
    "categories.wall=[]": r"categories of .* at 'wall' must be an object, got \[\]",
    "categories.wall={}": "class 'wall' in .* must have the keys accuracy, iou",
    "categories.wall.iou=200": "class 'wall' in .* has iou 200, but its pixels give 31.25",
    "categories.wall.iou=null": "class 'wall' in .* has iou null, but",
    "categories.wall.iou=true": "class 'wall' in .* has iou 'True', not a number",
    "categories.wall.accuracy=-1": "class 'wall' in .* has accuracy -1, but",
    "categories.wall.seen=1": "class 'wall' in .* has seen '1', not true or false",
    "categories.wall.pixels=-5": "class 'wall' in .* has pixels '-5', not a number of pixels",
    "categories.wall.pixels=9": "9 true and 999,999,000,000 predicted|correct of 9 true",
    "categories.wall.correct=1e3": "has correct '1000.0', not a number of pixels",
    "categories.ghost.predicted=7": "true pixels but .* predicted ones",
    "categories.ghost.predicted=3000000": "true pixels but .* predicted ones",
    "data.pictures=-3": "records -3 images",
    "data.pictures=0": "records 0 images",
    "data.pictures=true": "pictures of 'data' in .* must be an integer, got True",
    "data.pictures=1e3": "pictures of 'data' in .* must be an integer",
    "data.pictures=99999999999999999999999": "holds the number 9999.* which is too large",
    "data.categories=9": "records 9 classes, but has rows of 3",
    'data.census="x"': "has 'x' for data.census, which is not a SHA-256",
    f'data.census="{"0" * 64}"': "records the census '000000000000', but the names",
    'data.name="a\\nb"': r"control character \\n in b'data.name'",
    'config_name="a\\u001b[2J"': r"control character \\x1b in b'config_name'",
    'config_name=" "': "has an empty config_name",
    'protocol.name="cat\\r"': r"control character \\r in b'protocol.name'",
    "protocol.fields={}": "but the recorded fields have the hash",
    "protocol.fields.name=null": "but the recorded fields have the hash",
    'protocol.full_hash="0123456789ab"': "records the full hash '0123456789ab'",
    'protocol.method_hash="0123456789ab"': "records the method hash '0123456789ab'",
    'weights.sha256="abc"': "has 'abc' for weights.sha256, which is not a SHA-256",
    "weights.sha256=null": "both or neither of weights.file and weights.sha256",
    "weights.file=7": "file of 'weights' in .* must be text or null, got 7",
    "run.seconds=-1": "has -1 for run.seconds",
    "run.seconds=5": "records 5 seconds for 2,000 images",
    "run.ranks=0": "has 0 for run.ranks",
    "run.peak_memory.gpu=-4": "has -4 bytes for run.peak_memory.gpu",
    "run.peak_memory.gpu=true": "peak_memory of .* at 'gpu' must be an integer, got True",
    "run.command=[1]": "item 0 of command of .* must be text, got 1",
    'run.ended="yesterday"': "has 'yesterday' for run.ended, which is not a date",
    'run.ended="2025-01-01T00:00:00"': "ends at 2025-01-01T00:00:00 before it starts",
    "schema=true": "has result format True",
    "schema=null": "has result format None",
}


def edit(text: str, change: str) -> str:
    """Text of a result in which the value at a dotted key is replaced by JSON text."""
    place, _, value = change.partition("=")
    content = json.loads(text)
    *parents, key = place.split(".")
    target = content
    for parent in parents:
        target = target[parent]
    target[key] = "<here>"
    return json.dumps(content).replace('"<here>"', value)


@pytest.mark.parametrize("change", EDITS)
def test_a_figure_that_cannot_be_is_refused_by_name(tmp_path, change):
    path = tmp_path / "r.json"
    write_result(path, made_result())
    path.write_text(edit(path.read_text(), change))
    with pytest.raises(ResultError, match=EDITS[change]) as caught:
        read_result(path)
    assert "r.json" in str(caught.value)


def test_names_that_break_lines_double_keys_and_deep_brackets_are_refused(tmp_path):
    path = tmp_path / "r.json"
    write_result(path, made_result(names=("wall\n| x |", "floor", "ghost")))
    with pytest.raises(ResultError, match=r"class name in .* contains the control character"):
        read_result(path)
    write_result(path, made_result())
    good = path.read_text()
    path.write_text(good.replace('"headline":', '"headline": "mIoU_union", "headline":', 1))
    with pytest.raises(ResultError, match="has the key 'headline' twice"):
        read_result(path)
    path.write_text("[" * 200_000)
    with pytest.raises(ResultError, match="nest too deeply"):
        read_result(path)


def test_old_files_without_correct_pixels_are_checked_up_to_rounding(tmp_path):
    path, result = tmp_path / "r.json", made_result(miou=31.25)
    rows = {name: dict(row) for name, row in result.categories.items()}
    for row in rows.values():
        del row["correct"]
    write_result(path, replace(result, categories=rows))
    assert read_result(path).metrics == result.metrics
    for change, message in {
        "metrics.mIoU=31.2506": "records mIoU 31.2506",
        "metrics.pACC=99.0": "records pACC 99",
        "categories.wall.accuracy=60.0": "class 'wall' in .* has accuracy 60",
        "categories.wall.iou=31.26": "class 'wall' in .* has accuracy",
        "categories.wall.iou=101": "class 'wall' in .* has iou 101",
        "categories.wall.correct=4": "class 'wall' in .* has iou",
    }.items():
        write_result(path, replace(result, categories=rows))
        path.write_text(edit(path.read_text(), change))
        with pytest.raises(ResultError, match=message):
            read_result(path)


def test_a_result_on_a_part_of_the_images_says_so(tmp_path):
    path = tmp_path / "r.json"
    plain = made_result("m", "ade20k_150 (limit 50)", images=50)
    fields = {**plain.protocol.fields, "data": {"limit": 50, "classes": 3}}
    part = replace(plain, protocol=protocol_of_fields("cat_seg", fields))
    write_result(path, part)
    assert read_result(path) == part
    for data in (replace(part.data, name="ade20k_150"), replace(part.data, images=60)):
        run = replace(part.run, seconds_per_image=600.0 / data.images)
        write_result(path, replace(part, data=data, run=run))
        with pytest.raises(ResultError, match="its protocol is limited to 50 images"):
            read_result(path)


@pytest.mark.parametrize("name", shipped_configs())
def test_every_config_comes_back_from_its_text(name):
    config = load_config(name)
    again = read_config_text(dump_config(config), "r.json")
    assert again.to_dict() == config.to_dict()


def test_numbers_strings_and_nested_values_come_back():
    values = {
        "a": dict(b=(1, -2.5, float("inf")), c=[None, True], d={"x y": "it's"}, e=1e-12),
        "words": [("a \\ b",), "\n", 'two "quoted"', "日本"],
        "label_map": {7: "wall", 8: "sky"},
    }
    assert read_config_text(dump_config(Config(values)), "r").to_dict() == values


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('true')",
        "a = [x for x in (1, 2)]",
        "a = open('f')",
        "a = dict([1, 2])",
        "a = dict(**{'b': 1})",
        "a.b = 1",
        "a = 1 + 1",
        "a = (",
    ],
)
def test_a_config_is_read_and_never_run(text):
    with pytest.raises(ValueError, match=r"^The config in r\.json "):
        read_config_text(text, "r.json")

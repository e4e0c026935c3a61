"""Result files: written files are read back, anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mmengine.config import Config

from ovss.models.config_text import dump_config, read_config_text
from ovss.models.configs import load_config, shipped_configs
from ovss.protocols.named import find_protocol
from ovss.protocols.protocol import Protocol
from ovss.protocols.settled import settle_protocol
from ovss.results.result_file import ProtocolRecord, ResultError, read_result, write_result
from tests.results.made_result import made_result


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
    old = {"name": "mini", "hash": settled.full_hash, "fields": settled.fields}
    changed(path, schema=1, protocol=old)
    expected = ProtocolRecord("mini", settled.method_hash, settled.full_hash, settled.fields)
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
        write_result(path, made_result(miou=float("nan")))
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
        (lambda path: changed(path, metrics={"mIoU": "31"}), "metric 'mIoU' in .* but is '31'"),
        (lambda path: changed(path, headline="mIou"), "quoted metric 'mIou' in .* is not among"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path, break_it, message):
    path = tmp_path / "r.json"
    write_result(path, made_result())
    break_it(path)
    with pytest.raises(ResultError, match=message) as caught:
        read_result(path)
    assert "r.json" in str(caught.value)


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

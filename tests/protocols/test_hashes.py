"""Method hash and full hash agree in the list, in a result, on the screen and in the docs."""

from __future__ import annotations

import json
import re

import pytest

from ovss.cli.main import main as command
from ovss.cli.test import main as evaluate
from ovss.models.configs import load_config, use_dataset
from ovss.protocols.named import find_protocol, method_hash, named_protocols
from ovss.protocols.protocol import Protocol
from ovss.protocols.settled import named_on, read_protocol, settle_protocol
from ovss.results.result_file import read_result
from ovss.results.run import evaluate as evaluate_config
from tests.tiny_training import tiny_config


def listed(capsys, *flags: str) -> dict[str, dict]:
    """Rows of `ovss list protocols --json` by name."""
    capsys.readouterr()
    assert command(["list", "protocols", "--json", *flags]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["protocols"]}


def test_the_list_the_result_and_the_docs_have_the_same_hashes(tmp_path, capsys, repo_root):
    out = tmp_path / "result.json"
    flags = ["--work-dir", str(tmp_path / "work"), "--out", str(out), "--device", "cpu"]
    short = ["--cfg-options", "test_dataloader.dataset.length=2", "test_dataloader.num_workers=0"]
    assert evaluate(["cat_seg_mini", *flags, *short]) == 0
    printed = capsys.readouterr().out
    recorded = read_result(out).protocol
    assert recorded.name == "mini"
    here = listed(capsys, "--on", "mini_150")["mini"]
    assert recorded.method_hash == here["method_hash"] == listed(capsys)["mini"]["method_hash"]
    assert recorded.full_hash == here["full_hash"]
    assert f"mini (method hash {recorded.method_hash}, full hash {recorded.full_hash})" in printed
    page = (repo_root / "docs" / "protocols.md").read_text()
    assert f"mini (method hash {recorded.method_hash}, full hash {recorded.full_hash})" in page


def test_the_documented_table_agrees_with_the_list(capsys, repo_root):
    page = (repo_root / "docs" / "protocols.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| `([0-9a-f]{12})` \|$", page, flags=re.MULTILINE))
    assert table == {name: row["method_hash"] for name, row in listed(capsys).items()}


VARIED = {("sclip_vit-b16", "ade20k_150"), ("sclip_vit-b16", "coco_object")}
"""Methods whose protocol has other fields on a dataset."""


@pytest.mark.parametrize("data", ["mini_150", "ade20k_150", "ade20k_847", "coco_object"])
@pytest.mark.parametrize("method", ["cat_seg_vit-b16", "sed_convnext-b", "sclip_vit-b16"])
def test_the_method_hash_is_the_same_on_every_dataset(method, data):
    config = load_config(method)
    use_dataset(config, data)
    before = config.copy()
    settled = settle_protocol(config)
    named = find_protocol(settled.chosen)
    how = named.fields_on(settled.protocol.data).plain()
    assert settled.method_hash == Protocol(how).full_hash
    assert (how == named.template.plain()) == ((method, data) not in VARIED)
    assert settled == named_on(named, before)
    assert settled.full_hash == settled.protocol.full_hash != settled.method_hash


def test_a_field_that_a_flag_changes_is_in_both_hashes():
    plain, other = (load_config("cat_seg_mini") for _ in range(2))
    first = settle_protocol(plain)
    second = settle_protocol(other, overrides={"model.inference.size": 64})
    assert second.name == "mini with canvas.size=64"
    assert first.method_hash != second.method_hash
    assert first.full_hash != second.full_hash


def test_the_list_on_a_dataset_shows_the_fields_there(capsys):
    rows = listed(capsys, "--on", "cityscapes")
    assert rows.keys() == named_protocols().keys()
    assert rows["sclip"]["canvas"] == "560"
    assert command(["list", "methods", "--on", "cityscapes"]) == 1
    assert "ovss list protocols --on DATASET" in capsys.readouterr().err


def test_moot_synonyms_are_the_named_protocols():
    fields = Protocol(find_protocol("sed").template.plain()).as_dict()
    moot = {**fields, "prompts": {**fields["prompts"], "synonyms": "none"}}
    assert method_hash(moot, "sed") == method_hash(fields, "sed")
    assert method_hash(moot, "sed with canvas.size=3") == method_hash(fields, "sed")
    assert method_hash(moot, "unknown") != method_hash(fields, "sed")


def test_a_run_reads_its_protocol_once(tmp_path, monkeypatch):
    """The plan, the record and the result share the object that was settled."""
    config = load_config(tiny_config(tmp_path, "protocol = 'mini'"))
    config.test_dataloader.dataset.length = 2
    config.test_dataloader.num_workers = 0
    expected = read_protocol(settled_copy(config), "mini")
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return original(*arguments, **options)

    from ovss.protocols import settled

    original = settled.protocol_of
    monkeypatch.setattr(settled, "protocol_of", counted)
    result = evaluate_config(
        config, config_name="tiny", weights=None, work_dir=tmp_path / "work", command=()
    )
    assert len(calls) == 1
    assert result.protocol.full_hash == expected.full_hash
    assert result.protocol.fields == expected.fields


def settled_copy(config):
    """The config with its protocol written into it."""
    copied = config.copy()
    settle_protocol(copied)
    return copied

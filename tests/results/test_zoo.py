"""The zoo agrees with the configs, the plugins, the tests and its page."""

from __future__ import annotations

import importlib.util
import json
from fnmatch import filter as matching
from pathlib import Path

from ovss.cli import main
from ovss.models.configs import shipped_configs
from ovss.models.conversion import convertible
from ovss.results.published import load_published
from ovss.results.zoo import FAMILIES, PARITY, load_zoo, method_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_configs():
    spec = importlib.util.spec_from_file_location("zoo_tool", ROOT / "tools" / "zoo.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text() == tool.page(), "run: python tools/zoo.py"


def test_every_published_row_is_of_a_method_in_the_zoo():
    rows = load_published().rows
    assert {row.method for row in rows} <= set(load_zoo())
    for row in rows:
        for config in row.configs:
            assert method_of(shipped_configs()[config]).name == row.method
    first = [row for row in rows if row.source in ("dcp_clip", "dcp_clip_others",
                                                   "dcp_clip_old_cat_seg")]  # fmt: skip
    assert [sum(row.size == size for row in first) for size in ("base", "large")] == [18, 14]


def test_facts_of_each_method_are_complete():
    configs = list(shipped_configs())
    for method in load_zoo().values():
        assert method.family in FAMILIES
        runs = method.plugin is not None
        assert (method.parity in PARITY) == runs == bool(method.configs)
        assert runs or method.note, f"{method.name}: say why there is no code"
        for pattern in (*method.configs, *method.weights):
            assert matching(configs, pattern), f"{method.name}: no config is named {pattern}"
        if method.weights:
            assert method.plugin in convertible()
        if method.parity != "text" and runs:
            assert method.tests, f"{method.name}: name the test of its parity"
        for test in method.tests:
            assert (ROOT / test).exists()


def test_configs_are_of_one_published_method_or_mixed(capsys):
    assert main(["list", "methods", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["methods"]}
    of = {name: (row["method"], row["parity"], row["weights"]) for name, row in rows.items()}
    assert of["cat_seg_vit-b16"] == ("CAT-Seg", "official", "convertible")
    assert of["dcp_clip_vit-l14"] == ("DCP-CLIP", "text", "none")
    assert of["naclip_vit-b16"][2] == "downloadable"
    assert of["naclip_mini"][2] == of["dcp_clip_mini"][2] == "bundled"
    assert of["cat_seg_dcs_mini"][:2] == ("-", "-")
    unpublished = {name for name, path in shipped_configs().items() if method_of(path) is None}
    assert all(
        shipped_configs()[name].parent.name in ("encoders", "mixed", "regions", "two_stage")
        for name in unpublished
    )

"""The plugin guide is complete: its records have the fields and methods of the code."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
import torch

from ovss import structures
from ovss.interfaces import (
    AlignmentHead,
    Criterion,
    Decoder,
    Encoder,
    PostProcessor,
    Proposer,
    RegionEmbedder,
    Selector,
)
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores, Selection, TextFeatures

RECORDS = (
    "ImageFeatures",
    "TextFeatures",
    "Selection",
    "Alignment",
    "Masks",
    "Scores",
    "Proposals",
    "RegionAlignment",
    "RegionMasks",
    "RegionScores",
)
INTERFACES = (
    Encoder,
    Selector,
    AlignmentHead,
    Decoder,
    PostProcessor,
    Criterion,
    Proposer,
    RegionEmbedder,
)


@pytest.fixture
def guide(repo_root):
    pages = ("writing_a_plugin.md", "regions.md")
    return "\n".join((repo_root / "docs" / page).read_text(encoding="utf-8") for page in pages)


def rows(guide: str, heading: str) -> list[list[str]]:
    """Cells of the tables whose first column has a heading."""
    tables = re.findall(
        rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", guide, re.MULTILINE
    )
    assert tables, f"the guide has no table {heading}"
    lines = "".join(tables).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("record", RECORDS)
def test_the_tables_have_the_fields_of_the_records(guide, record):
    listed = [row[0].strip("`") for row in rows(guide, record)]
    assert listed == [field.name for field in fields(getattr(structures, record))]


@pytest.mark.parametrize("record", RECORDS)
def test_shapes_have_the_axes_of_the_names(guide, record):
    for name, shape, _ in rows(guide, record):
        axes = re.search(r"_([A-Za-z0-9]+)`$", name)
        if axes and shape not in ("int", "bool"):
            assert shape.startswith(f"({', '.join(axes[1])})"), name


def test_every_public_method_of_a_selection_is_listed(guide):
    listed = {re.match(r"`(\w+)\(", row[0])[1] for row in rows(guide, "method of Selection")}
    public = {name for name in vars(Selection) if not name.startswith("_")}
    own = {field.name for field in fields(Selection)}
    missing = public - own - listed
    assert {name for name in missing if f"`{name}`" not in guide} == set()
    assert listed <= public


@pytest.mark.parametrize("interface", INTERFACES)
def test_every_declaration_of_an_interface_is_listed(guide, interface):
    (row,) = [row for row in rows(guide, "interface") if row[0] == f"`{interface.__name__}`"]
    declared = {
        name for name in interface.__annotations__ if name not in ("checkpointed", "compiled")
    }
    assert set(re.findall(r"`(\w+)`", row[2])) == declared
    assert all(f"`{name}(" in row[1] for name in interface.__abstractmethods__)


def test_the_documented_post_processor_drops_what_is_small(guide, tmp_path):
    code = re.search(r"```python\n# ovss_margin/postprocessor\.py\n(.*?)```", guide, re.DOTALL)
    space: dict = {"__name__": "documented"}
    try:
        exec(compile(code[1], "postprocessor.py", "exec"), space)  # our own page
        build = space["DropSmall"]
    finally:
        POSTPROCESSORS.module_dict.pop("DropSmall", None)
    # two images: 3 of 4 categories kept, and 2 with a padding slot whose value would win
    selection = Selection(
        torch.tensor([[0, 2, 3], [1, 3, 0]]), torch.tensor([[True] * 3, [True, True, False]]), 4
    )
    probs_BKHW = torch.zeros(2, 3, 10, 10)
    probs_BKHW[0, 0], probs_BKHW[0, 1], probs_BKHW[0, 2, 0, :3] = 0.5, 0.4, 0.9
    probs_BKHW[1, 0, :5], probs_BKHW[1, 1, 5:], probs_BKHW[1, 2] = 0.6, 0.6, 1.0
    scores = Scores(probs_BKHW, selection, None, TextFeatures(torch.ones(4, 1, 2)))
    assert scores.labels_BHW()[0].unique().tolist() == [0, 3]
    result = build(share=0.1)(scores)
    assert result.labels_BHW()[0].unique().tolist() == [0], "3 pixels of 100 are too few"
    assert result.labels_BHW()[1].unique().tolist() == [1, 3]
    assert torch.equal(build(share=0.0)(scores).labels_BHW(), scores.labels_BHW())
    assert build(share=1.0)(scores).labels_BHW()[0].unique().tolist() == [0], "the largest stays"

"""The page of a small report: sections, anchors, links, escapes, and the same numbers twice."""

from __future__ import annotations

import json
import re

import pytest

from ovss.io.markdown import markdown_text
from ovss.report.jobs import report_jobs
from ovss.report.make import document_of, make_report, measured_view
from ovss.report.measure import measured_content
from ovss.report.plan import AblationGroup, AblationRow, ComparedMethod
from ovss.report.render_html import html_page
from ovss.report.render_markdown import markdown_page
from ovss.report.store import CellStore
from ovss.results.result_file import write_result
from tests.report.report_parts import Page, markdown_cells, read_pages, small_plan
from tests.results.made_result import made_result

EVIL = '<script>alert("1")</script>|`x`'
ROWS = (
    AblationRow("full", "dcp_clip_mini", published="both"),
    AblationRow("self", "dcp_clip_mini,model.head.cross_attention=False", "self-attention"),
    AblationRow("nobody", "dcp_clip_mini,model.head.self_attention=False"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    results = place / "results"
    for name, seed, miou in (("full", 0, 70.0), ("full", 1, 72.0), ("self", 0, 60.0)):
        method = "dcp_clip_mini"
        write_result(results / f"{name}_{seed}.json", made_result(method, "mini_20", miou))
    (results / "full_2.json").write_text("{}")
    (results / "other_0.json").write_text("{}")
    groups = (
        AblationGroup("Attention", ROWS, "full", "IV", results=str(results), note="Short."),
        AblationGroup("Thresholds", config="dcp_clip_mini", thresholds=(0.0, 0.5),
                      published="VII"),
    )  # fmt: skip
    plan = small_plan(ablations=groups)
    assert make_report(plan, place, "ovss benchmark report", run=measured_content) == []
    return place


@pytest.fixture(scope="module")
def page(folder):
    return Page(read_pages(folder)[0])


def test_the_page_has_its_sections(page):
    sections = ["summary", "tradeoff", "table", "growth", "categories", "confusion", "ablations"]
    sections += ["examples", "published", "made"]
    assert [name for name in page.ids if name in sections] == sections
    assert page.tags.count("h2") == len(sections)
    figures = [name for name in page.ids if re.fullmatch(r"figure-\w+-\w+", name)]
    assert len(figures) == 2 + 3 + 1


def test_the_page_is_well_formed_and_refers_to_nothing_outside(page, folder):
    text, _ = read_pages(folder)
    assert text.startswith("<!doctype html>")
    assert page.addresses == []
    assert "script" not in page.tags
    assert not re.search(r"url\((?!#)|@import|@font-face", text)


def test_ids_are_unique_and_every_link_leads_to_one(page):
    assert len(page.ids) == len(set(page.ids))
    assert page.links
    assert set(page.links) <= set(page.ids)
    assert "mini_20-dcp_clip_mini-miou" in page.ids
    assert "cost-dcp_clip_mini-30-seconds" in page.ids


def test_links_of_the_markdown_lead_to_its_anchors(folder):
    _, text = read_pages(folder)
    anchors = re.findall(r'<a id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)
    files = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert files
    assert all((folder / file).is_file() for file in files)


def test_both_pages_hold_the_same_numbers(page, folder):
    found = markdown_cells(read_pages(folder)[1])
    assert len(found) > 100
    for name, text in found.items():
        assert text == markdown_text(page.cells[name].strip()), name


def test_numbers_are_those_of_the_cells(page, folder):
    for path in (folder / "cells").iterdir():
        cell = json.loads(path.read_text())
        if cell["job"]["kind"] == "accuracy":
            label, row = cell["job"]["label"], cell["content"]["row"]
            assert page.cells[f"mini_20-{label}-miou"] == f"{row['mIoU']:.1f}"
            assert page.cells[f"mini_20-{label}-seconds"] == f"{1000 * row['seconds']:,.1f}"
        if cell["job"]["kind"] == "cost":
            anchor = f"cost-{cell['job']['label']}-{cell['job']['names']}-gflops"
            assert page.cells[anchor] == f"{cell['content']['gflops']:,.2f}"


def test_ablations_have_mean_spread_and_published_numbers_apart(page, folder):
    text, markdown = read_pages(folder)
    assert page.cells["attention-full-mini_20-2000-miou"] == "71.0 ± 1.4 (2)"
    assert page.cells["attention-self-mini_20-2000-miou"] == "60.0 (1)"
    assert page.cells["attention-nobody-mini_20-2000-miou"] == "", "nobody ran it"
    assert "head.cross_attention=False" in text
    assert "full_2.json is left out" in text
    assert "Short. Published: " in text
    assert "every number below, except published ones and rows of ablations that name" in text
    assert "A-150 (published)" in markdown
    quoted = re.search(r"\| .*?attention-full\"></a>.*", markdown)[0]
    assert quoted.rstrip(" |").endswith("12.3 | 19.7 | 32.4 | 58.1 | 95.9")
    assert "attention-full" in page.ids
    assert page.cells["thresholds-mini_20-0-kept"] == "20.0"


def test_svg_files_can_stand_alone(folder):
    from xml.etree import ElementTree

    files = sorted((folder / "figures").glob("*.svg"))
    assert len(files) == 6
    for file in files:
        assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_plan_with_an_error_leaves_no_folder(tmp_path):
    for changes in ({"methods": (ComparedMethod("nosuch_mini"),)}, {"datasets": ("nosuch",)}):
        with pytest.raises(FileNotFoundError, match="nosuch"):
            make_report(small_plan(**changes), tmp_path / "report", "ovss")
    assert not any(tmp_path.iterdir())


def test_names_of_users_are_data(tmp_path):
    """Names of categories and labels of methods cannot become tags or cells."""

    def run(job):
        text = json.dumps(measured_content(job))
        return json.loads(text.replace("plain black star", json.dumps(EVIL)[1:-1]))

    methods = (ComparedMethod("maskclip_mini", label="<b>x|</b>"), ComparedMethod("naclip_mini"))
    plan = small_plan(methods=methods, categories=(), title="<i>t</i>")
    view = measured_view(plan, report_jobs(plan), CellStore(tmp_path), run=run)
    document = document_of(view, "ovss <benchmark>")
    text, markdown = html_page(document), markdown_page(document)
    found = Page(text)
    assert not {"script", "i"} & set(found.tags)
    assert EVIL in "".join(found.cells.values())
    assert "<script" not in markdown.replace("\\<", "")
    for line in markdown.splitlines():
        if line.startswith("| ") and EVIL[:7] in line.replace("\\", ""):
            assert "\\|" in line


def test_a_failing_method_is_a_row_with_its_reason(tmp_path):
    def run(job):
        if job.method == "naclip_mini":
            raise MemoryError("no room for <naclip>")
        return measured_content(job)

    methods = (ComparedMethod("maskclip_mini"), ComparedMethod("naclip_mini"))
    plan = small_plan(methods=methods, categories=(5,))
    failed = make_report(plan, tmp_path, "ovss", run=run)
    assert [cell.job.kind for cell in failed] == ["accuracy", "cost", "maps"]
    text, markdown = read_pages(tmp_path)
    assert "failed: no room for &lt;naclip&gt;" in text
    assert "failed: no room for" in markdown
    assert "mini_20-maskclip_mini-miou" in Page(text).ids
    make_report(plan, tmp_path, "ovss", run=measured_content)
    assert "failed" not in read_pages(tmp_path)[1]

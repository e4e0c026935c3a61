"""`ovss table`: measured and published results are kept apart."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ovss.cli.main import main as command
from ovss.models.configs import shipped_configs
from ovss.results.published import load_published
from ovss.results.result_file import write_result
from ovss.results.table import make_grid
from ovss.results.table_html import as_html
from ovss.vocabularies import list_vocabularies
from tests.results.made_result import made_result

BENCHMARKS = ["A-847", "PC-459", "A-150", "PC-59", "PAS-20"]


def table(text: str) -> dict[str, dict[str, str]]:
    """Cells of the first Markdown table, by method and column."""
    lines = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}


@pytest.fixture
def files(tmp_path):
    """Function that writes results to files by name."""

    def write(**results) -> list[str]:
        for name, result in results.items():
            write_result(tmp_path / f"{name}.json", result)
        return [str(tmp_path / f"{name}.json") for name in results]

    return write


def printed(capsys, *words: str) -> str:
    assert command(["table", *words]) == 0
    return capsys.readouterr().out


def test_measured_and_published_results_have_separate_columns(files, capsys):
    paths = files(
        cat=made_result("cat_seg_vit-b16", miou=30.04),
        own=made_result("dcp_clip_vit-b16", data="camvid11/val", miou=51.26),
    )
    text = printed(capsys, *paths)
    rows = table(text)
    cat, own = rows["cat_seg_vit-b16"], rows["dcp_clip_vit-b16"]
    assert cat["A-150"] == "30.0"
    assert [cat[name] for name in ("A-847", "PC-459", "PC-59", "PAS-20", "camvid11/val")] == [
        ""
    ] * 5
    assert cat["A-150 (published)"] == "31.8 [a]; 27.2 [b]"
    assert own["camvid11/val"] == "51.3"
    assert own["A-150"] == ""
    assert own["A-150 (published)"] == "32.4 [c]"
    assert "camvid11/val (published)" not in cat
    assert "published [a]: CAT-Seg, README" in text
    assert "published [b]: as quoted in table I of DCP-CLIP" in text


def test_data_that_nobody_published_on_gets_no_empty_columns(files, capsys):
    text = printed(capsys, *files(mini=made_result("cat_seg_mini", data="mini_150")))
    assert list(table(text)["cat_seg_mini"]) == ["method", "protocol", "mini_150"]


def test_protocols_in_one_column_are_noted(files, capsys):
    paths = files(
        a=made_result(protocol="cat_seg"),
        b=made_result(protocol="cat_seg with views.window=512", miou=33.0),
    )
    text = printed(capsys, *paths)
    assert text.split("\n\n")[0].count("| cat_seg_vitb16 |") == 2
    assert (
        "A-150: measured under different protocols (cat_seg; cat_seg with views.window=512)" in text
    )


def test_other_images_or_labels_are_other_columns(files, capsys):
    whole = made_result()
    part, other = made_result(images=50), made_result(names=("wall", "door", "ghost"))
    (row,) = table(printed(capsys, *files(a=whole, b=part))).values()
    assert row["A-150 (2,000 images)"] == row["A-150 (50 images)"] == "31.2"
    (row,) = table(printed(capsys, *files(a=whole, c=other))).values()
    assert len([name for name in row if name.startswith("A-150 (2,000 images) labels")]) == 2
    text = printed(capsys, *files(b=part))
    assert "published results are on 2,000 images" in text


def test_other_weights_are_other_rows_and_a_repetition_is_noted(files, capsys):
    first = made_result(miou=30.0)
    other = replace(first, weights=replace(first.weights, sha256="99" * 32))
    rows = table(printed(capsys, *files(a=first, b=other)))
    assert set(rows) == {"cat_seg_vitb16 (weights abababab)", "cat_seg_vitb16 (weights 99999999)"}
    later = replace(made_result(miou=40.0), run=replace(first.run, ended="2026-02-01T00:00:00"))
    text = printed(capsys, *files(later=later, a=first))
    assert table(text)["cat_seg_vitb16"]["A-150"] == "40.0"
    assert "2 results of cat_seg_vitb16, the newest is shown" in text


def test_other_settings_of_a_model_are_other_rows(files, capsys):
    """SED with and without early rejection has the same config, weights and protocol."""
    sed = dict(type="OpenVocabSegmentor", decoder=dict(type="GradualDecoder", top_k=None))
    fast = {**sed, "decoder": dict(type="GradualDecoder", top_k=8)}
    moved = {**sed, "encoder": dict(pretrained="elsewhere.pt"), "inference": dict(size=9)}
    made = [made_result(config=f"model = {model!r}") for model in (sed, fast)]
    rows = table(printed(capsys, *files(a=made[0], b=made[1])))
    assert len(rows) == 2
    assert all(name.startswith("cat_seg_vitb16 (settings ") for name in rows)
    here = {**sed, "encoder": dict(pretrained="here.pt")}
    made = [made_result(config=f"model = {model!r}") for model in (here, moved)]
    assert set(table(printed(capsys, *files(a=made[0], b=made[1])))) == {"cat_seg_vitb16"}


def test_all_that_is_published_needs_no_results(capsys):
    text = printed(capsys, "--published", "all")
    rows = table(text)
    assert rows["SAN ViT-B/16"]["PC-459 (published)"].startswith("12.6 [")
    assert rows["ODISE ViT-L/14 + Stable Diffusion"]["PAS-20 (published)"] == ""
    assert all(row[name] == "" for row in rows.values() for name in BENCHMARKS)
    assert "table VII: threshold theta" in text


def test_another_metric_is_shown_without_published_results(files, capsys):
    paths = files(cat=made_result("cat_seg_vit-b16"))
    text = printed(capsys, *paths, "--metric", "mIoU_union")
    assert table(text)["cat_seg_vit-b16"]["A-150"] == "20.8"
    assert "(published)" not in text
    assert "classes that occur in ground truth or prediction" in text
    assert command(["table", *paths, "--metric", "f1"]) == 1
    assert "has no metric 'f1'. Choose one of mIoU, mIoU_union" in capsys.readouterr().err


def test_one_bad_file_and_nothing_is_written(files, tmp_path, capsys):
    (good,) = files(good=made_result())
    bad = tmp_path / "bad.json"
    bad.write_text('{"schema": 1, "metr')
    page = tmp_path / "out.html"
    assert command(["table", good, str(bad), "--html", str(page)]) == 1
    assert "bad.json" in capsys.readouterr().err
    assert not page.exists()
    assert command(["table"]) == 1
    assert "--published all" in capsys.readouterr().err


class Page(HTMLParser):
    """Parser that checks closing tags and collects text and external references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text, self.loaded = "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href", "srcset")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_loads_nothing(files, capsys, tmp_path):
    odd = made_result(names=('<b>& "quoted"', "floor", "ghost"))
    page = tmp_path / "deep" / "t.html"
    printed(capsys, *files(a=odd), "--html", str(page), "--published", "all")
    found = Page(page.read_text("utf-8"))
    assert found.open == []
    assert found.loaded == []
    assert "url(" not in page.read_text()
    assert '<b>& "quoted"' in found.text
    assert "measured here" in found.text


def test_the_best_is_marked_only_under_one_protocol():
    a, b = made_result("one", miou=30.0), made_result("two", miou=31.0)
    assert "ours best" in as_html(make_grid([("a", a), ("b", b)]))
    c = made_result("two", miou=31.0, protocol="sed")
    assert "ours best" not in as_html(make_grid([("a", a), ("c", c)]))


def test_what_is_published_names_its_sources_and_configs_that_exist():
    known = load_published()
    assert set(known.columns) <= set(list_vocabularies())
    for row in known.rows:
        assert row.source in known.sources
        assert set(row.miou) <= set(known.columns)
        assert all(0 < value < 100 for value in row.miou.values())
        assert set(row.configs) <= set(shipped_configs())
    keys = [(row.method, row.backbone, row.size, row.source) for row in known.rows]
    assert len(set(keys)) == len(keys)
    by = {(row.method, row.size, row.source): row.miou for row in known.rows}
    assert list(by["CAT-Seg", "base", "cat_seg"].values()) == [12.0, 19.0, 31.8, 57.5, 94.6, 77.3]
    assert list(by["DCP-CLIP", "large", "dcp_clip"].values()) == [16.4, 24.3, 38.1, 63.8, 97.3]
    assert list(by["SED", "base", "sed_fast"].values()) == [11.4, 18.6, 31.6, 57.3, 94.4]
    assert [len(study.rows) for study in known.studies] == [6, 6, 4, 3, 2, 3, 4, 5]


def test_configs_of_methods_in_the_published_table_are_named_with_their_rows():
    named = {name for row in load_published().rows for name in row.configs}
    for method in ("san", "ebseg", "scan", "fc_clip", "zegformer", "zsseg", "ovseg", "deop"):
        full = {name for name in shipped_configs() if name.startswith(f"{method}_")}
        unnamed = {name for name in full - named if not name.endswith(("_mini", "_mini_web"))}
        assert unnamed <= {"fc_clip_convnext-b"}  # its authors quote no number for this size


def test_names_cannot_add_rows_or_tags(tmp_path, capsys):
    odd = "a|b`c <script>alert(1)</script> [x](http://y)"
    result = made_result(method=odd, data="d|<img src=x>", names=(odd, "floor", "ghost"))
    write_result(tmp_path / "r|1.json", result)
    page = tmp_path / "t.html"
    text = printed(capsys, str(tmp_path / "r|1.json"))
    printed(capsys, str(tmp_path / "r|1.json"), "--html", str(page))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert widths[:3] == [4, 4, 4]
    assert len(set(widths[3:])) == 1
    assert not re.search(r"(?<!\\)<\w|\]\(|(?<!\\)`", text)
    found = Page(page.read_text("utf-8"))
    assert not {"script", "img"} & set(found.tags)
    assert found.loaded == []
    assert odd in found.text

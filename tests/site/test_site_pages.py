"""Pages of the site: all are there, none asks another host, generated tables are complete."""

from __future__ import annotations

import inspect
import re
from xml.etree import ElementTree

import pytest

import ovss
from tests.site.checkout import ROOT, load_tool, nav_pages, site_config

SUPPORTED = {"search", "offline", "mkdocstrings"}
"""Plugins in use, all of which zensical reads as well (its page on compatibility lists them)."""


@pytest.fixture(scope="module")
def tool():
    return load_tool("build_site")


@pytest.fixture(scope="module")
def texts(tool, tmp_path_factory) -> dict[str, str]:
    """Text of every page by its path in the site."""
    return tool.build(tmp_path_factory.mktemp("stage"))


def test_the_configuration_names_what_the_successor_reads():
    config = site_config()
    names = {next(iter(each)) if isinstance(each, dict) else each for each in config["plugins"]}
    assert names == SUPPORTED
    assert config["theme"]["font"] is False
    assert "hooks" not in config
    assert "custom_dir" not in config["theme"]


def test_every_page_is_in_the_navigation(texts):
    listed = nav_pages(site_config()["nav"])
    assert len(listed) == len(set(listed))
    cards = {page for page in texts if page.startswith("models/") and page != "models/index.md"}
    code = {page for page in texts if page.startswith("code/")}
    assert set(listed) == texts.keys() - cards - code, "list new pages under nav in mkdocs.yml"


def test_no_file_of_the_site_names_another_host(tool):
    """Scripts, style sheets and figures are written here; links in text may lead elsewhere."""
    places = [*(ROOT / "docs").glob("*/*.js"), *(ROOT / "docs").glob("*/*.css")]
    assert len(places) == 2
    for path in places:
        assert "//" not in re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M), path
    extra = site_config()["extra"]["polyfills"] + site_config()["extra_css"]
    assert all((ROOT / "docs" / path).is_file() for path in extra)


def test_figures_are_drawn_from_the_configs(tool):
    assert tool.CONCEPTS.read_text(encoding="utf-8") == tool.concepts_figure(), (
        "run tools/build_site.py --figures"
    )
    for name in tool.SiteMap.of(ROOT).methods:
        figure = tool.method_figure(name)
        root = ElementTree.fromstring(figure)
        assert root.tag.endswith("svg")
        assert "href" not in figure, "a figure needs no other file"
    assert "DynamicCategorySelector" in tool.method_figure("dcp_clip")


def test_a_method_has_figure_options_configs_and_licence(texts, tool):
    for name in tool.SiteMap.of(ROOT).methods:
        page = texts[f"methods/{name}.md"]
        assert f"../images/methods/{name}.svg" in page
        for heading in ("Options", "All configs", "Licences"):
            assert f"\n## {heading}\n" in page, name
        assert re.search(r"^## .*[Ee]quations", page, re.M), f"{name} has no equations"


def test_every_option_is_described():
    load_tool("build_site")
    from site_pages.configs import components
    from site_pages.options import argument_texts, option_table

    for _, name, cls in components():
        known = argument_texts(cls)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        missing = [p.name for p in parameters if p.kind not in kinds and p.name not in known]
        assert missing == [], f"{name}: describe {missing} in the section Args of its docstring"
        assert option_table(cls)


def test_every_public_name_is_in_the_reference(texts):
    index = texts["api/index.md"]
    assert all(f"`ovss.{name}`" in index for name in ovss.__all__)
    pages = "".join(text for path, text in texts.items() if path.startswith("api/"))
    for place in re.findall(r"\(\w+\.md#(ovss\.[\w.]+)\)", index):
        assert f"::: {place}\n" in pages


def test_links_are_rewritten_for_the_site(tool):
    from site_pages.links import SiteMap, rewritten

    sites = SiteMap.of(ROOT)
    text = (
        "[a](../../docs/protocols.md#named) [b](../../configs/sed/sed_mini.py) [c](#x) "
        "[d](../../tests/plugins/sed) [e](https://x.org) ![f](../../docs/images/concepts.svg)\n"
        "```\n[g](../x.md)\n```\n"
    )
    assert rewritten(text, "plugins/sed/README.md", sites) == (
        "[a](../protocols.md#named) [b](../code/configs/sed/sed_mini.py.md) [c](#x) "
        "d [e](https://x.org) ![f](../images/concepts.svg)\n"
        "```\n[g](../x.md)\n```\n"
    )


def test_an_image_of_a_page_must_be_in_the_site(tool):
    from site_pages.links import SiteMap, rewritten

    sites = SiteMap({"docs/x/report.md": "x/report.md"}, {}, ())
    text = "![f](figures/a.svg)"
    assert rewritten(text, "docs/x/report.md", sites) == text
    with pytest.raises(ValueError, match=r"shows outputs/a\.png, which is not in the site"):
        rewritten("![f](../../outputs/a.png)", "docs/x/report.md", sites)


def test_an_entry_may_describe_several_arguments():
    load_tool("build_site")
    from site_pages.options import argument_texts

    def function() -> None:
        """Adds.

        Args:
            a, b: what is added,
                in two lines.
            c: last: one.

        Raises:
            d: no argument.
        """

    both = "what is added, in two lines."
    assert argument_texts(function) == {"a": both, "b": both, "c": "last: one."}

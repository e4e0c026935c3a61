"""Notebooks: they run offline as they are, and are committed without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.examples.notebooks import execute, lacks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples").rglob("*.ipynb"))
LARGEST = 40_000
"""Bytes of a notebook without outputs."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> Any:
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebook")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def printed(notebook: Any, cell: str) -> str:
    (found,) = [each for each in notebook.cells if each.id == cell]
    return "".join(each.text for each in found.outputs if each.output_type == "stream")


def shown(notebook: Any, cell: str) -> set[str]:
    """Kinds of the outputs of a cell, other than text."""
    (found,) = [each for each in notebook.cells if each.id == cell]
    return {kind for each in found.outputs for kind in each.get("data", {}) if "/" in kind}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_is_committed_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == [], cell["id"]
        assert cell["execution_count"] is None, cell["id"]
    assert path.stat().st_size < LARGEST
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_links_of_a_notebook_lead_to_files(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    titles = {title.replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, part = link.partition("#")
        assert (path.parent / place).exists(), link
        assert place or part in titles, link


@pytest.fixture(scope="module")
def tour(tmp_path_factory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("tour")
    return execute(read(ROOT / "examples" / "tour.ipynb"), folder, ROOT), folder


@pytest.mark.slow
def test_the_tour_shows_what_its_text_says(tour):
    notebook, _ = tour
    assert "striped green heart" in printed(notebook, "scene")
    for cell in ("scene", "words", "side-by-side", "threshold"):
        assert "image/png" in shown(notebook, cell), cell
    rows = re.findall(r"^(\w+_mini) +([\d.]+)%", printed(notebook, "compare"), re.MULTILINE)
    assert [name for name, _ in rows] == ["dcp_clip_mini", "cat_seg_mini", "maskclip_mini"]
    assert all(float(share) > 80 for _, share in rows)
    unknown = [float(x) for x in re.findall(r"([\d.]+)%", printed(notebook, "threshold"))]
    assert unknown[0] == 0
    assert unknown[0] < unknown[1] <= unknown[2] < 100
    shares = re.findall(r"([\d.]+)%", printed(notebook, "shares"))
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.5)


@pytest.mark.slow
def test_the_tour_writes_files_into_its_folder_only(tour):
    _, folder = tour
    made = {path.name for path in folder.iterdir()} - {"profile_default"}
    assert made == {"outputs"}
    content = json.loads((folder / "outputs/tour/run.json").read_text())
    assert len(content["images"]) == 4
    assert len(content["annotations"]) >= 8
    assert {"scene_overlay.png", "scene_labels.png"} <= {
        path.name for path in (folder / "outputs/tour").iterdir()
    }


@pytest.mark.slow
def test_the_tour_warns_of_nothing_but_its_weights(tour):
    notebook, _ = tour
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", (cell.id, output.text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "text"), [("hub", "same label map: True"), ("export", "of the pixels")]
)
def test_the_tour_saves_and_exports_a_model(tour, cell, text):
    notebook, _ = tour
    if cell not in {each.id for each in notebook.cells}:
        (left_out,) = [c for c in read(ROOT / "examples/tour.ipynb").cells if c.id == cell]
        pytest.skip(f"needs {', '.join(lacks(left_out))}")
    assert text in printed(notebook, cell)

"""Finds converters of installed plugins, and names the ones that are broken."""

from __future__ import annotations

import sys

import pytest
import torch

from ovss.models.checkpoint import CheckpointError, read_weights
from ovss.models.conversion import convert_file, convertible
from ovss.models.plugins import PluginError

CONVERT = """
from ovss.models.conversion import rename

def convert(tensors):
    return rename(tensors, {"theirs": "decoder.ours"}, {"step": "a counter"})
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package whose entry point is a submodule; file of its converter."""
    package = tmp_path / "outer" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "convert.py").write_text(CONVERT)
    info = tmp_path / "ovss_outer-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ovss-outer\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[ovss.plugins]\nfar_seg = outer.inner\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package / "convert.py"
    for name in [name for name in sys.modules if name.partition(".")[0] == "outer"]:
        del sys.modules[name]


@pytest.fixture
def published(tmp_path):
    torch.save({"theirs": torch.ones(2).half(), "step": torch.zeros(1)}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_a_plugin_s_converter_is_found_by_its_file(plugin, published, tmp_path):
    assert {"cat_seg", "sed", "far_seg"} <= set(convertible())
    assert "outer" not in sys.modules, "finding must not import"
    found = convert_file("far_seg", published, tmp_path / "b.safetensors")
    assert found.dropped == {"step": "a counter"}
    tensors, metadata = read_weights(tmp_path / "b.safetensors")
    assert tensors["decoder.ours"].tolist() == [1, 1]
    assert tensors["decoder.ours"].dtype == torch.float32
    assert metadata["method"] == "far_seg"


@pytest.mark.parametrize("source", ["import not_there_at_all", "def convert(:", ""])
def test_a_broken_converter_is_named(plugin, published, tmp_path, source):
    plugin.write_text(source)
    with pytest.raises(PluginError, match=r"'far_seg' \(module outer\.inner\.convert\)"):
        convert_file("far_seg", published, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_an_uninstalled_method_lists_the_installed_ones(published, tmp_path):
    with pytest.raises(CheckpointError, match=r"\(.*cat_seg.*clip\), got 'far_seg'"):
        convert_file("far_seg", published, tmp_path / "b.safetensors")

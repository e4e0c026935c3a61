"""Plugins: found without import, loaded by name, and reported if broken."""

from __future__ import annotations

import json
import sys

import pytest

from ovss.cli import main
from ovss.models.configs import find_config, list_configs, load_config
from ovss.models.plugins import PluginError, find_plugins, is_in_plugin, load_plugins
from ovss.models.weights import find_weights
from ovss.registry import POSTPROCESSORS


def install(folder, monkeypatch, module_source, entry="shift = shifty", name="ovss-shifty"):
    """Installs a module with its dist-info, as pip would."""
    module = entry.partition("=")[2].strip()
    (folder / f"{module}.py").write_text(module_source)
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[ovss.plugins]\n{entry}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


GOOD = """
from ovss.interfaces import PostProcessor
from ovss.registry import POSTPROCESSORS

@POSTPROCESSORS.register_module(force=True)
class Shift(PostProcessor):
    "Does nothing, from outside."
    def forward(self, scores):
        return scores
"""


def test_an_installed_plugin_is_found_and_loaded(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, GOOD)
    found = {plugin.name: plugin for plugin in find_plugins()}
    assert found["shift"].distribution == "ovss-shifty"
    assert found["shift"].version == "1.2"
    assert found["shift"].path == str(tmp_path / "shifty.py")
    assert "shifty" not in sys.modules, "finding must not import"
    load_plugins()
    assert "Shift" in POSTPROCESSORS.names()
    POSTPROCESSORS.module_dict.pop("Shift")


@pytest.mark.parametrize("source", ["import not_there_at_all", "1 / 0", "def broken(:"])
def test_a_broken_plugin_fails_loudly(tmp_path, monkeypatch, source):
    install(tmp_path, monkeypatch, source, entry="bad = badly", name="ovss-bad")
    with pytest.raises(PluginError, match=r"'bad'.*ovss-bad 1\.2.*badly"):
        load_plugins()


def test_a_plugin_of_the_wrong_kind_fails_loudly(tmp_path, monkeypatch):
    source = "from ovss.registry import HEADS\nHEADS.register_module(module=dict)"
    install(tmp_path, monkeypatch, source, entry="bad = badly", name="ovss-bad")
    with pytest.raises(PluginError, match=r"ovss-bad.*AlignmentHead"):
        load_plugins()


def test_a_config_names_its_missing_plugin(tmp_path):
    config = tmp_path / "mine.py"
    config.write_text("custom_imports = dict(imports=['no_such_method'])\nmodel = dict()\n")
    with pytest.raises(PluginError, match=r"mine\.py.*'no_such_method'.*[Ii]nstall"):
        load_config(config)


def test_unknown_config_suggests_the_closest():
    with pytest.raises(FileNotFoundError, match="Did you mean maskclip_vit-b16"):
        find_config("maskclip_vit-b61")
    with pytest.raises(FileNotFoundError, match=r"'some/where\.py' does not exist"):
        find_config("some/where.py")


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Installed plugin package with two configs, one of which has the name of a bundled config."""
    install(tmp_path, monkeypatch, "", entry="shift = shifty_pack", name="ovss-shifty")
    (tmp_path / "shifty_pack.py").unlink()
    configs = tmp_path / "shifty_pack" / "configs"
    configs.mkdir(parents=True)
    (tmp_path / "shifty_pack" / "__init__.py").write_text("")
    config = '_base_ = ["{{$OVSS_CONFIGS:}}/training_free/maskclip_mini.py"]\n'
    for name in ("shifty_mini", "cat_seg_mini", "_helper"):
        (configs / f"{name}.py").write_text(config + "model = dict(selector=dict(type='KeepAll'))")
    return configs


def test_configs_of_a_plugin_are_found_by_name(packaged):
    assert find_config("shifty_mini") == packaged / "shifty_mini.py"
    assert load_config("shifty_mini").model.decoder.type == "UpsampleDecoder"
    assert "_helper" not in list_configs()
    assert "shifty_pack" not in sys.modules, "finding must not import"


def test_bundled_configs_have_precedence_over_a_plugin_s(packaged):
    assert find_config("cat_seg_mini").parent.name == "cat_seg"
    assert find_config("shift/cat_seg_mini") == packaged / "cat_seg_mini.py"


def test_weights_of_a_plugin_are_found_by_name(packaged):
    shipped = packaged.parent / "weights" / "shifty_mini.safetensors"
    with pytest.raises(FileNotFoundError, match=r"neither as a path nor in .*weights"):
        find_weights(shipped.name)
    shipped.parent.mkdir()
    shipped.write_bytes(b"")
    assert find_weights(shipped.name) == shipped
    assert find_weights("cat_seg_mini.safetensors").parent.parent.name == "ovss"


def test_json_of_the_command_is_nothing_but_json(packaged, capfd):
    assert main(["list", "methods", "--json"]) == 0
    methods = json.loads(capfd.readouterr().out)["methods"]
    assert {"shifty_mini", "shift/cat_seg_mini"} <= {row["name"] for row in methods}


def test_a_module_belongs_to_a_plugin_by_whole_names():
    assert is_in_plugin("ovss_plugins.sed")
    assert is_in_plugin("ovss_plugins.sed.decoder")
    assert not is_in_plugin("ovss_plugins.sedan")
    assert not is_in_plugin("ovss_plugins")

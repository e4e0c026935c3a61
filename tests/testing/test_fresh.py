"""Configs that work only in a process that has imported their plugin already."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ovss.models.configs import config_dir, load_config, shipped_configs
from ovss.registry import SELECTORS
from ovss.testing import check_plugin, configs_name_their_plugins
from ovss.testing.fresh import plugins_needed

SELECTOR = """
from ovss import SELECTORS, Selection, Selector


@SELECTORS.register_module()
class FirstSelector(Selector):
    "Keeps the first categories."

    def __init__(self, k: int = 3) -> None:
        super().__init__()

    def forward(self, image, text, keep_BT=None):
        batch, count = len(image.dense_BChw), len(text.embeds_TPC)
        return Selection.everything(batch, count)
"""
BASE = """
_base_ = ["{{$OVSS_CONFIGS:}}/training_free/maskclip_mini.py"]
model = dict(selector=dict(_delete_=True, type="FirstSelector"))
"""
POST = 'model["post_processor"] = dict(_delete_=True, type="TagValidation", seen=[])\n'


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Folder of an importable plugin without configs."""
    folder = tmp_path / "ovss_first"
    (folder / "configs").mkdir(parents=True)
    (folder / "__init__.py").write_text(SELECTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    SELECTORS.module_dict.pop("FirstSelector", None)
    sys.modules.pop("ovss_first", None)


def test_configs_that_forget_their_plugins_are_found(package):
    """Those before them import the plugins, which must not help them."""
    importlib.import_module("ovss_plugins.dcp_clip")
    texts = {
        "a_sound_mini": BASE + imports("ovss_first"),
        "b_none_mini": BASE,
        "c_sound_mini": BASE + POST + imports("ovss_first", "ovss_plugins.dcp_clip"),
        "d_half_mini": BASE + POST + imports("ovss_first"),
        "e_misspelt_mini": BASE + imports("ovss_frist"),
    }
    for name, text in texts.items():
        (package / "configs" / f"{name}.py").write_text(text)
    with pytest.raises(AssertionError) as caught:
        check_plugin("ovss_first")
    caught.match(
        "^configs_name_their_plugins fails in the config b_none_mini, d_half_mini, "
        "e_misspelt_mini: b_none_mini.py needs FirstSelector, "
    )
    message = str(caught.value)
    assert f"Add {imports('ovss_first')} to {package}/configs/b_none_mini.py." in message
    assert f"{imports('ovss_first', 'ovss_plugins.dcp_clip')} to {package}/configs/d_h" in message
    assert "e_misspelt_mini.py cannot be loaded: PluginError" in message


def imports(*modules: str) -> str:
    return f"custom_imports = dict(imports={json.dumps(modules)})"


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, {}),
        ({"model": {"type": "OpenVocabSegmentor", "encoder": {"type": "OpenCLIPEncoder"}}}, {}),
        (
            {"model": {"post_processor": {"type": "Chain", "steps": [{"type": "TagValidation"}]}}},
            {"TagValidation": "ovss_plugins.dcp_clip"},
        ),
        ({"custom_hooks": [{"type": "OurHook"}]}, {"OurHook": "ovss_first"}),
    ],
)
def test_classes_of_plugins_are_found_at_any_depth(config, names, package, monkeypatch):
    importlib.import_module("ovss_plugins.dcp_clip")
    hook = type("OurHook", (Hook,), {"__module__": "ovss_first.hooks"})
    monkeypatch.setitem(HOOKS.module_dict, "OurHook", hook)
    assert plugins_needed(Config(config), "ovss_first") == names


def test_every_config_names_its_plugins():
    for name in shipped_configs():
        load_config(name)
    ablations = sorted(config_dir().glob("*/ablations/*.py"))
    configs_name_their_plugins([*shipped_configs().values(), *ablations])

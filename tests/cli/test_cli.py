"""The console command: its files, messages and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ovss.cli import main
from ovss.cli.main import COMMANDS
from tests.cli.segmenting import files_of, outputs

LIGHT = [[], *([command] for command in COMMANDS), ["benchmark", "speed"]]


@pytest.mark.parametrize("command", LIGHT, ids=" ".join)
def test_help_is_light(command):
    code = (
        "import sys\nfrom ovss.cli import main\n"
        f"try:\n    main({[*command, '--help']})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'mmengine', 'PIL'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"usage: {' '.join(['ovss', *command])} " in done.stdout


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in output] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    pytest.importorskip(f"ovss.cli.{command.replace('-', '_')}")
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"ovss {command}" in capsys.readouterr().out


@pytest.mark.parametrize("pair", ["nonsense", "=3", "model.head=[(1,2]"])
@pytest.mark.parametrize("command", [["segment", "photos", "--words", "cat"], ["train"], ["test"]])
def test_a_config_option_that_is_no_pair_is_wrong_usage(here, capsys, command, pair):
    config = ["--model", "tiny.py"] if command[0] == "segment" else ["tiny.py"]
    with pytest.raises(SystemExit, match="2"):
        main([*command, *config, "--cfg-options", pair])
    assert "argument --cfg-options: " in capsys.readouterr().err


def test_debug_shows_the_traceback(here):
    with pytest.raises(ValueError, match="no words"):
        main(["segment", "photos", "--words", "", "--debug"])


def test_usage_errors_are_argparse_s():
    segment_x = ["segment", "x.png", "--words", "cat"]
    pairs = [
        ("--batch", "0"),
        ("--tile", "9"),
        ("--every", "-1"),
        ("--fps", "x"),
        ("--opacity", "2"),
    ]
    flags = [[*segment_x, *pair] for pair in pairs]
    for wrong in (["segment"], ["segment", "x.png"], ["nonsense"], *flags):
        with pytest.raises(SystemExit) as end:
            main(wrong)
        assert end.value.code == 2


def test_list_shows_everything_there_is(capsys):
    assert main(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert {"OpenCLIPEncoder", "ClipTopK", "CosineHead", "CATSegDecoder", "Identity"} <= {
        row["name"] for row in listing["components"]
    }
    assert {"cat_seg_mini", "cat_seg_vit-b16"} <= {row["name"] for row in listing["methods"]}
    sizes = {row["name"]: row["categories"] for row in listing["vocabularies"]}
    assert sizes["ade20k_847"] == 847
    assert {row["name"]: row["prompts"] for row in listing["templates"]}["imagenet_80"] == 80
    (plugin,) = (row for row in listing["plugins"] if row["name"] == "cat_seg")
    assert Path(plugin["path"]).name in ("cat_seg", "plugins")
    assert plugin["problem"] == ""
    assert main(["list", "nonsense"]) == 1


def test_broken_plugin_is_listed_and_fails_the_doctor(capsys, monkeypatch):
    from ovss.models import plugins

    broken = plugins.Plugin("broken", "ovss_no_such_module", "their-package", "1.2")
    monkeypatch.setattr(plugins, "find_plugins", lambda: [broken])
    assert main(["list", "plugins", "--json"]) == 0
    assert "their-package" in json.loads(capsys.readouterr().out)["plugins"][0]["problem"]
    assert main(["doctor", "--json"]) == 1
    problems = [f for f in json.loads(capsys.readouterr().out) if f["state"] == "problem"]
    assert [problem["topic"] for problem in problems] == ["plugin broken"]
    assert main(["segment", ".", "--words", "cat"]) == 1


def test_doctor_finds_this_installation_sound(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for topic in ("python", "torch", "device", "weights", "text cache", "plugin cat_seg"):
        assert topic in printed
    assert "0 problems found" in printed


def test_demo_with_random_weights(here, capsys):
    options = ["--model", "tiny_demo.py", "--weights", "none", "--baselines"]
    options += ["--images", "2", "--scenes", "3"]
    base = "_base_ = ['{}']\nmodel = dict(encoder=dict(pretrained=None))\nweights = None\n"
    from ovss.models.configs import find_config

    Path("tiny_demo.py").write_text(base.format(find_config("cat_seg_mini")))
    assert main(["demo", *options]) == 0
    told = capsys.readouterr().out
    assert "2 of 2 " in told
    assert "mean IoU of" in told
    assert "images: outputs/demo/*_overlay.png" in told
    assert files_of("scene_0", "scene_1") <= outputs("outputs/demo")

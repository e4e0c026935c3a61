"""Commands of installed plugins: found without importing, and harmless to `ovss` when broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ovss.cli import main
from ovss.cli.main import COMMANDS, describe
from ovss.cli.plugin_commands import find_commands

GOOD = '''
"""Greet someone.

More about greeting.
"""
SUMMARY = "greet someone, 100 % politely"

def add_arguments(parser):
    parser.add_argument("name")
    parser.add_argument("--options", nargs="+", action="key_values", metavar="KEY=VALUE")

def run(args):
    if args.name == "nobody":
        raise RuntimeError("Expected somebody, got nobody. Name a person")
    print(f"hello {args.name} {args.options}")
    return 3
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a plugin package ``greeter`` with one module per command."""

    def installed(**commands: str) -> Path:
        package = tmp_path / "greeter"
        (package / "commands").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "commands" / "__init__.py").write_text("")
        for name, source in commands.items():
            (package / "commands" / f"{name}.py").write_text(source)
        info = tmp_path / "ovss_greeter-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ovss-greeter\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[ovss.plugins]\ngreeter = greeter\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path

    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "greeter"]:
        del sys.modules[name]


def help_of(*argv: str, capsys) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*argv, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_a_command_of_a_plugin_runs(install, capsys):
    install(say_hello=GOOD)
    assert "say-hello greet someone, 100 % politely" in help_of(capsys=capsys)
    assert "greeter" not in sys.modules, "help must not import plugins"
    assert "More about greeting." in help_of("say-hello", capsys=capsys)
    assert main(["say-hello", "Ann", "--options", "a=1", "b.c=x"]) == 3
    assert capsys.readouterr().out == "hello Ann {'a': 1, 'b.c': 'x'}\n"


def test_errors_of_a_plugin_are_one_line(install, capsys):
    install(say_hello=GOOD)
    assert main(["say-hello", "nobody"]) == 1
    assert capsys.readouterr().err == "error: Expected somebody, got nobody. Name a person\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def broken(:", "SyntaxError"),
        ("import not_there_at_all\nSUMMARY = 'x'", "not_there_at_all"),
        ("SUMMARY = 'x'\ndef run(args): pass", "lacks add_arguments"),
    ],
)
def test_a_broken_command_breaks_only_itself(install, capsys, source, message):
    install(say_hello=source)
    assert "say-hello" in help_of(capsys=capsys)
    assert main(["say-hello"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "'say-hello' of plugin 'greeter' (ovss-greeter 1.2)" in error
    assert error.count("\n") == 1
    assert main(["doctor"]) == 1
    assert "command say-hello" in capsys.readouterr().out


def test_built_in_commands_keep_their_names(install):
    install(segment=GOOD, _helper=GOOD, visual_prompts=GOOD)
    found = find_commands(COMMANDS)
    assert {"greeter/segment", "greeter/visual-prompts", "visual-prompts"} <= set(found)
    assert found["visual-prompts"].plugin.name == "dpseg"
    assert not any("helper" in name for name in found)


def test_help_with_plugins_is_light(install):
    folder = install(say_hello=GOOD)
    code = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom ovss.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'mmengine', 'PIL', 'greeter'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "say-hello" in done.stdout
    assert "visual-prompts" in done.stdout


def test_built_in_commands_do_not_look_for_plugins(monkeypatch, capsys):
    def refuse(reserved):
        raise AssertionError("looked for the commands of plugins")

    monkeypatch.setattr("ovss.cli.plugin_commands.find_commands", refuse)
    assert "SRC" in help_of("publish", capsys=capsys)


def test_a_runtime_error_from_elsewhere_names_its_class():
    assert describe(RuntimeError("odd")) == "RuntimeError: odd (--debug shows where)"

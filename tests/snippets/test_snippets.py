"""Every command and block of Python on the pages is run, or a mark in front of it says why not.

A mark is a comment in the line before the block:

    <!-- not run: needs ADE20K -->          not run, and why
    <!-- slow: trains -->                   run with --slow only
    <!-- run by: tests/test_docs.py -->     run by another test

Full-size methods are replaced by the same methods at mini scale (`material.SMALL`), because their
weights have to be downloaded. Single lines that can run nowhere have a reason in
`material.SKIPPED`. The commands of all blocks, also of those that are not run, are parsed: their
flags, and the methods that they name, exist.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import glob
import inspect
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

import ovss
from ovss.cli.main import COMMANDS, DELEGATED, _module, build_parser, main
from ovss.cli.plugin_commands import find_commands
from ovss.encoders.dense import dense_mode
from ovss.models.build import build_on_meta
from ovss.models.configs import list_configs, load_config
from ovss.models.plugins import load_available_plugins
from ovss.registry import REGISTRIES, register_all
from tests.snippets.blocks import (
    PAGES,
    ROOT,
    Block,
    blocks_of,
    commands,
    inline_commands,
    is_config,
    words_of,
)
from tests.snippets.material import SKIPPED, fill, stand_in

ALL = [block for page in PAGES for block in blocks_of(page)]
PLACEHOLDER = re.compile(r"\[|\.\.\.|\$\(|\b(CONFIG|DIR|FILE|NAME|SRC|DST|METHOD)\b")
FEWER = {
    "test": ("--limit", "2"),
    "benchmark table": ("--scenes", "2"),
    "demo": ("--images", "1", "--scenes", "2", "--baselines"),
}
"""Command -> flags that make it short, unless it has them."""


def skipped(command: str) -> str:
    """Reason why a line is not run; empty if it is."""
    return next((why for pattern, why in SKIPPED.items() if re.search(pattern, command)), "")


# -- marks and flags -------------------------------------------------------------------------------


def test_every_mark_has_a_reason_or_a_test():
    for block in ALL:
        text = (ROOT / block.page).read_text(encoding="utf-8").splitlines()
        above = text[block.line - 2].strip() if block.line > 1 else ""
        assert not above.startswith("<!--") or block.mark, f"{block}: {above} is no mark"
        if block.kind == "run by":
            assert (ROOT / block.mark[1].strip()).exists(), f"{block}: {block.mark[1]}"


def test_most_blocks_are_run():
    """Marks are the exception."""
    run = sum(block.kind != "not run" for block in ALL)
    assert run / len(ALL) > 0.5, f"{run} of {len(ALL)}"


OVSS = sorted(
    {
        (str(block), command)
        for block in ALL
        if block.language == "shell"
        for command in commands(block.body)
        if command.startswith("ovss ") and not PLACEHOLDER.search(command)
    }
)


@pytest.mark.parametrize(("place", "command"), OVSS, ids=[place for place, _ in OVSS])
def test_flags_and_methods_of_a_command_exist(place, command, monkeypatch):
    argv = words_of(re.sub(r"\$\w+", "0", command))[1:]
    argv = [each for each in argv if each not in ("--debug", "--no-tune")]  # of every command
    monkeypatch.chdir(ROOT)
    if argv[0] in DELEGATED:
        _module(argv[0]).build_parser().parse_args(argv[1:])
        name = argv[1]
        is_own = name.endswith(".py") or name.startswith("attention_masks")
        assert is_own or name in list_configs(), f"{place} names the method {name}"
        return
    args = parser_of(argv[0]).parse_args(argv)
    model = getattr(args, "model", None)
    if isinstance(model, str) and re.search(r"_(vit|mini|convnext|r101)", model):
        assert model in list_configs() or model.startswith("attention_masks"), place


def parser_of(name: str) -> argparse.ArgumentParser:
    """Parser of a command, also of a plugin's."""
    plugins = find_commands(COMMANDS)
    module = plugins[name].load() if name in plugins else _module(name)
    summaries = {**COMMANDS, **{name: each.summary for name, each in plugins.items()}}
    return build_parser(name, module, summaries)


INLINE = [
    (f"{page.relative_to(ROOT).as_posix()}:{line}", command)
    for page in PAGES
    for line, command in inline_commands(page)
]
OF_AN_EXAMPLE = ("show-margin", "PLUGIN/NAME")
"""Commands of the plugin that a page writes."""


@pytest.mark.parametrize(("place", "command"), INLINE, ids=[place for place, _ in INLINE])
def test_commands_in_sentences_exist(place, command):
    first, *words = command.split()
    if first != "ovss":
        files = [each for each in (first, *words) if each.endswith(".py")]
        assert all((ROOT / file).exists() for file in files), f"{place}: {command}"
        return
    if words[0].startswith("--") or words[0] in OF_AN_EXAMPLE:
        return
    flags = flags_of(words)
    for flag in re.findall(r"--[\w-]+", command):
        assert flag in flags, f"{place}: {command} has no {flag}"


def flags_of(words: list[str]) -> set[str]:
    """Flags of the command, or of the part of it, that the words begin with."""
    name = words[0]
    if name in DELEGATED:
        return set(_module(name).build_parser()._option_string_actions)
    parser = parser_of(name)
    for word in words:
        parts = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if not parts or word not in parts[0].choices:
            break
        parser = parts[0].choices[word]
    return set(parser._option_string_actions)


# -- runs ------------------------------------------------------------------------------------------


def run_command(command: str, place: str) -> None:
    """Runs `ovss` in this process, and other programs as a process."""
    if reason := skipped(command):
        assert reason
        return
    command = stand_in(command)
    argv = words_of(command) if "<<" not in command else ["sh"]
    if argv[0] != "ovss":
        program = command.replace("python ", f"{sys.executable} ", 1)
        subprocess.run(["sh", "-ec", program], check=True, timeout=600, capture_output=True)
        return
    argv = [each for word in argv[1:] for each in (sorted(glob.glob(word)) or [word])]
    if " '" in command:  # a quoted pattern is for ovss itself
        argv = words_of(command)[1:]
    for prefix, flags in FEWER.items():
        if argv[: len(prefix.split())] == prefix.split() and flags[0] not in argv:
            argv = [*argv, *flags]
    if argv[0] in ("segment", "label") and not {"--model", "--status", "--export"} & {*argv}:
        argv += ["--model", "naclip_mini"]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = main(argv)
    assert status == 0, f"{place}: ovss {' '.join(argv)}\n{output.getvalue()}"


def run_python(block: Block, names: dict) -> None:
    """Runs a block; a config is read and its parts are checked."""
    lines = [line for line in block.body.splitlines() if not skipped(line)]
    uses_model = re.search(r"Inferencer|create_model", block.body)
    code = stand_in("\n".join(lines)) if uses_model or "ovss/" in block.body else block.body
    exec(compile(code.replace("[...]", "[]"), str(block), "exec"), names)  # our own page
    if is_config(block.body):
        check_config_block(block)


def check_config_block(block: Block) -> None:
    """Builds what a config on a page describes, without memory, or checks the names of its part."""
    register_all()
    load_available_plugins()
    space: dict = {}
    exec(compile(block.body.replace("[...]", "[]"), str(block), "exec"), space)  # our own page
    if "_base_" in space:
        path = Path("documented.py")
        path.write_text(block.body)
        build_on_meta(load_config(path).model.to_dict())
        return
    known = {name: cls for registry in REGISTRIES for name, cls in registry.module_dict.items()}
    for node in ast.walk(ast.parse(block.body)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "dict"
        ):
            values = {each.arg: each.value for each in node.keywords if each.arg}
            kind = values.pop("type", None)
            if isinstance(kind, ast.Constant) and kind.value in known and "_delete_" not in values:
                check_names(known[kind.value], values, str(block))
    for dense in [each for name, each in space.items() if name == "dense"]:
        dense_mode(dense, 12)


def check_names(cls: type, values: dict, place: str) -> None:
    accepted = inspect.signature(cls.__init__).parameters
    assert values.keys() <= accepted.keys(), f"{place}: {cls.__name__}"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Working directory with files, and the small photo method as the default."""
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ovss.api.method.PHOTO_METHOD", "naclip_mini")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield tmp_path
    torch.set_num_threads(threads)


def run_page(page: Path, kinds: tuple[str, ...]) -> None:
    """Runs the blocks of a page in order; names of Python stay for the next block."""
    names = {"ovss": ovss, "image": Image.open("photo.jpg"), "__name__": "page"}
    for block in blocks_of(page):
        if block.kind not in kinds:
            continue
        if block.language == "python":
            run_python(block, names)
            continue
        lines = [block.body] if "<<" in block.body else commands(block.body)
        for command in lines:
            run_command(command, str(block))


def with_kind(kind: str) -> list[Path]:
    return [page for page in PAGES if any(block.kind == kind for block in blocks_of(page))]


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", with_kind("run"), ids=relative)
def test_the_blocks_of_a_page_run(page, place):
    run_page(page, ("run",))


@pytest.mark.slow
@pytest.mark.parametrize("page", with_kind("slow"), ids=relative)
def test_the_slow_blocks_of_a_page_run(page, place):
    run_page(page, ("run", "slow"))

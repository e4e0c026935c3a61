"""Errors name only flags that the running command has; the library names none."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.cli import test as test_command
from ovss.cli import train as train_command
from ovss.cli.advice import ADVICE, sentences, with_advice
from ovss.cli.main import DELEGATED, build_parser, describe, main
from ovss.io.advice import advised
from ovss.models.config_text import dump_config
from ovss.models.configs import load_config
from ovss.results.result_file import write_result
from tests.results.made_result import made_result
from tests.tiny_training import tiny_config

FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
PARSING = re.compile(r"ovss/cli|ovss/benchmark|ovss/export/command|plugins/\w+/commands")
"""Rooms with parsers of commands: they may name the flags of these."""
STYLE_SHEET = "ovss/results/table_html.py"
"""Variables of CSS begin with two dashes."""
COMMAND_LINES = "ovss/web/lines.py"
"""It writes commands for users to copy; tests/web runs them."""


def library(root: Path) -> list[Path]:
    files = [*(root / "ovss").rglob("*.py"), *(root / "plugins").rglob("*.py")]
    names = {path: path.relative_to(root).as_posix() for path in files}
    others = (STYLE_SHEET, COMMAND_LINES)
    return [p for p, n in names.items() if not PARSING.match(n) and n not in others]


def literals(path: Path) -> list[tuple[int, str]]:
    """String literals of a module, docstrings left out."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_the_library_names_no_flags(repo_root):
    found = [
        f"{path.relative_to(repo_root)}:{line}: {text.strip()}"
        for path in library(repo_root)
        for line, text in literals(path)
        if FLAG.search(text.replace("var(--", ""))  # a variable of CSS
    ]
    assert found == []


def topics_of(path: Path) -> set[str]:
    """Topics that a module gives to `advised`; those that are put together begin so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for topic in node.args[1:] if node.func.id == "advised" else ():
                if isinstance(topic, ast.Constant):
                    found.add(topic.value)
                elif isinstance(topic, ast.JoinedStr):
                    found.add(topic.values[0].value)
    return found


def test_topics_of_the_library_and_sentences_of_the_commands_match(repo_root):
    used = set().union(*(topics_of(path) for path in library(repo_root)))
    known = set().union(*ADVICE.values())
    assert {topic for topic in used if not any(key.startswith(topic) for key in known)} == set()
    assert {
        key for key in known - {"memory", "workers"} if not any(map(key.startswith, used))
    } == set()


def parser_of(command: str) -> argparse.ArgumentParser:
    if command in DELEGATED:
        return {"test": test_command, "train": train_command}[command].build_parser()
    module = importlib.import_module(f"ovss.cli.{command.replace('-', '_')}")
    parser = build_parser(command, module)
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices[command]


def flags_of(command: str) -> set[str]:
    return {flag for action in parser_of(command)._actions for flag in action.option_strings}


@pytest.mark.parametrize("command", sorted(ADVICE))
def test_a_command_names_flags_that_it_has(command):
    torchrun = {"--nproc-per-node"}
    for topic, sentence in ADVICE[command].items():
        assert set(FLAG.findall(sentence)) <= flags_of(command) | torchrun, topic
        assert sentence.endswith("."), topic


def test_advice_is_added_once_and_fills_its_gaps():
    @with_advice("train")
    @with_advice("train")
    def fail() -> None:
        raise advised(ValueError("the batch cannot be shared"), "batch_size", size=6)

    with pytest.raises(ValueError, match="shared") as caught:
        fail()
    told = "the batch cannot be shared. Set --cfg-options train_dataloader.batch_size=6."
    assert describe(caught.value) == told
    assert sentences("test", caught.value) == "", "a command that cannot do anything says nothing"


def test_memory_is_saved_by_what_a_command_has():
    error = MemoryError("out of memory")
    assert "--batch" in sentences("segment", error)
    assert "--micro-batch" in sentences("train", error)
    assert "test_dataloader.batch_size=1" in sentences("test", error)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images and label maps in two splits, without a class file."""
    for split in ("train", "val"):
        for kind, shape in (("images", (8, 8, 3)), ("masks", (8, 8))):
            place = tmp_path / "data" / kind / split
            place.mkdir(parents=True)
            Image.fromarray(np.zeros(shape, np.uint8)).save(place / "a.png")
    return tmp_path / "data"


def mistakes(folder: Path, config: str) -> dict[str, tuple[list[str], str]]:
    """What somebody types -> a part of the answer."""
    work = ["--work-dir", str(folder.parent / "work")]
    lost, image = str(folder.parent / "lost.json"), str(folder / "images/val/a.png")
    return {
        "no weights": (["test", config, *work], "after the config, or `none`"),
        "no class file": (["test", config, "none", "--data", str(folder), *work], "--classes FILE"),
        "launcher": (["test", config, "none", "--launcher", "pytorch", *work], "-m ovss test"),
        "launcher of training": (["train", config, "--launcher", "slurm", *work], "srun, or leave"),
        "weights to segment": (
            ["segment", image, "--words", "a, b", "--model", config, "--out", str(folder / "o")],
            "--weights none",
        ),
        "lost weights": (["reproduce", lost, *work], "--weights FILE"),
        "work dir": (["train", config, "--work-dir", image], "--work-dir DIR"),
        "resume": (["train", config, "--resume", image, *work], "is truncated"),
    }


@pytest.mark.parametrize("mistake", list(mistakes(Path(), "")))
def test_common_mistakes_are_answered_with_flags_of_the_command(
    mistake, folder, tmp_path, capsys, monkeypatch
):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    plain = made_result(config=dump_config(load_config("maskclip_mini")))
    write_result(tmp_path / "lost.json", plain)
    command, answer = mistakes(folder, str(tiny_config(tmp_path)))[mistake]
    assert main(command) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: ")
    assert answer in told
    assert set(FLAG.findall(told)) <= flags_of(command[0]) | {"--nproc-per-node"}

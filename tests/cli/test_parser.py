"""Unknown flags and stray arguments: what the user probably meant."""

from __future__ import annotations

import re

import pytest

from ovss.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "a.png", "--words", "cat", "--out-dir", "x"], "Did you mean --out?"),
        (["segment", "a.png", "--words", "cat", "--alpha", "1"], "Did you mean --opacity?"),
        (["segment", "a.png", "--words", "cat", "--treshold", "1"], "Did you mean --threshold?"),
        (["segment", "a.png", "--words", "cat", "--nonsense"], "unknown flag --nonsense."),
        (["segment", "a.png", "--words", "cat", "dog", "cow"], '--words "cat, dog, cow"'),
        (["segment", "a.png", "--words", "cat,", "dog,"], '--words "cat, dog"'),
        (["train", "cat_seg_mini", "--outdir", "x"], "Did you mean --work-dir?"),
        (["test", "cat_seg_mini", "none", "--work_dirs=x"], "Did you mean --work-dir?"),
        (["benchmark", "table", "cat_seg_mini", "--on", "mini_20", "--agian"], "--again?"),
        (["list", "--jsn"], "Did you mean --json?"),
    ],
)
def test_unknown_arguments_are_explained(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["test", "cat_seg_mini", "none", "--out", ""],
        ["train", "cat_seg_mini", "--resume", ""],
        ["segment", "a.png", "--words", "cat", "--out", " "],
        ["reproduce", "r.json", "--device="],
        ["benchmark", "speed", "cat_seg_mini", "--json", ""],
    ],
)
def test_empty_paths_and_names_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert re.search(r"argument --\w+: expected [A-Z]+, got empty text", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["complexity", "x", "--size", "0", "5"], "--size: expected an integer from 1 to 65536"),
        (["complexity", "x", "--categories", "9" * 5000], "from 1 to 1000000, got '99999"),
        (["benchmark", "speed", "x", "--batch", "0"], "--batch: expected an integer of at least 1"),
        (["benchmark", "speed", "x", "--warm-up", "-1"], "of at least 0, got '-1'"),
        (["benchmark", "table", "--scenes", "0"], "--scenes: expected an integer of at least 1"),
        (["demo", "--scenes", "1.5"], "--scenes: expected an integer of at least 1, got '1.5'"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_runs(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_two_hyphens_end_the_flags(capsys):
    assert main(["list", "vocabularies", "--"]) == main(["list", "--", "vocabularies"]) == 0


def test_messages_of_flags_and_errors_are_short_and_printable(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["segment", "a.png", "--words", "cat", f"--synonyms={'x' * 10_000}"])
    assert main(["table", "\x1b[31mred" + "x" * 10_000]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\\x1b[31mred" in err
    assert all(len(line) < 1000 for line in err.splitlines())


@pytest.mark.parametrize(
    ("section", "kind"),
    [("encoders", "encoder"), ("post_processor", "post-processor"), ("loss", "loss")],
)
def test_components_of_one_kind_are_listed(section, kind, capsys):
    assert main(["list", section]) == 0
    _, *rows = capsys.readouterr().out.strip().splitlines()
    assert rows
    assert all(row.split()[0] == kind for row in rows)


def test_misspelt_section_is_suggested(capsys):
    assert main(["list", "encodrs"]) == 1
    assert "Did you mean encoders?" in capsys.readouterr().err

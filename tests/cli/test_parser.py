"""Unknown flags and stray arguments: what the user probably meant."""

from __future__ import annotations

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

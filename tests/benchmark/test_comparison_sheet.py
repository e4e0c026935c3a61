"""Label maps of methods on one sheet, one row per scene."""

from __future__ import annotations

from PIL import Image

from ovss.cli import main


def test_a_sheet_has_a_row_for_each_scene(tmp_path, capsys):
    out, sizes = tmp_path / "sheet.png", []
    for scenes in (["0"], ["3", "1"]):
        command = ["benchmark", "images", "maskclip_mini", "--scenes", *scenes]
        assert main([*command, "--out", str(out)]) == 0
        sizes.append(Image.open(out).size)
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1])
    assert "maskclip_mini: 2 scenes" in capsys.readouterr().out


def test_a_scene_outside_the_dataset_is_an_error(tmp_path, capsys):
    out = tmp_path / "sheet.png"
    command = ["benchmark", "images", "maskclip_mini", "--scenes", "200", "--out", str(out)]
    assert main(command) == 1
    assert "Expected scenes in 0..199, got [200]" in capsys.readouterr().err
    assert not out.exists()

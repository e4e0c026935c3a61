"""Methods side by side: one sheet, one row a scene."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / "tools" / "analysis" / "images.py"


def test_a_sheet_has_a_row_for_each_scene(tmp_path, capsys):
    main, out = runpy.run_path(str(TOOL))["main"], tmp_path / "sheet.png"
    sizes = []
    for scenes in (["0"], ["3", "1"]):
        main(["maskclip_mini", "--scenes", *scenes, "--out", str(out)])
        sizes.append(Image.open(out).size)
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1])
    assert "maskclip_mini: 2 scenes" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["maskclip_mini", "--scenes", "200"])
    assert "scenes are 0..199" in capsys.readouterr().err

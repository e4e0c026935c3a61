"""Sheet of example images: texts stay above and below their own image."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ovss.report.document import ExampleRow, Examples, ExampleTile
from ovss.report.example_sheet import MARGIN, SIDE, example_sheet


@pytest.mark.parametrize("title", ["truth", "dense_tokens_mini_web", "a_config_with_" * 9])
def test_titles_do_not_reach_the_next_image(title):
    png = io.BytesIO()
    Image.new("RGB", (60, 40), "navy").save(png, "png")
    text = base64.b64encode(png.getvalue()).decode()
    row = ExampleRow("image 3", tuple(ExampleTile(title, text, "12.3 %") for _ in range(3)))
    sheet = np.array(
        Image.open(io.BytesIO(example_sheet(Examples("worst", (row, row))))).convert("RGB")
    )
    assert sheet.shape[1] == 3 * (SIDE + MARGIN) + MARGIN
    for left in range(0, sheet.shape[1], SIDE + MARGIN):
        assert (sheet[:, left : left + MARGIN - 1] == 255).all(), "between the images is paper"
    assert (sheet < 100).any()
